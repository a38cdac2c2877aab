"""Delta tables, by the Python package ``deltalake``."""
