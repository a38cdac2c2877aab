"""Adoption: a notebook that trains a model becomes a project that trains the same model, with proof."""
