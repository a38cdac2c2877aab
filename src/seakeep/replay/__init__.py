"""Past traffic again: through a running server, through a version, and one prediction at a time."""
