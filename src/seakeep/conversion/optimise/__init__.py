"""A smaller or faster version of a model that is nearly as good: candidates, what is measured of them, and the choice."""
