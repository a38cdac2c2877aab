"""The makers, one kind of candidate a file; importing a file registers it."""
