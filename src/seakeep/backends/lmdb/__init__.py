"""Stores on LMDB, the embedded memory-mapped database."""
