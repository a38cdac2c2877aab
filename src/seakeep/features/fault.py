"""What can be wrong in a declaration."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class DefinitionFault:
    """One thing that is wrong in a model's declaration.

    Attributes
    ----------
    subject
        The name to look for in the declaration, for example of a view, a feature or a source.
    message, hint
        What is wrong, and how to mend it.
    leak
        Whether a value would be used before it could be known.
    of_view
        Whether it is a view's or a feature's of one; a source may have the same name.
    """

    subject: str
    message: str
    hint: str = ""
    leak: bool = False
    of_view: bool = False
