"""The formats in which a model can come as a file: one module each, listed in :mod:`.registry`."""
