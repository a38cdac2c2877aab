"""The data plane: worker processes that answer predictions, take events in, and record everything."""
