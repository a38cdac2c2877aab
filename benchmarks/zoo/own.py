"""Functions of one's own, as a project has them: no emitter knows them, and a natively served version carries them along."""


def doubled(numbers):
    """Twice the numbers."""
    return numbers * 2


def squares(truth, told):
    """Gradient and curvature of half the squared error."""
    return told - truth, truth * 0 + 1
