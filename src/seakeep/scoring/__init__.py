"""Batch scoring: files of rows through a registered version, as the service would answer each of them."""
