"""Traces to a collector, by the OpenTelemetry protocol."""
