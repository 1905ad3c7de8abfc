"""Plain training on everything: the given examples and the clean ones."""

from __future__ import annotations

from gdw.reweight.plain import Plain


class PlainClean(Plain):
    """Ordinary training on the training set with the clean examples added to it.

    What the clean examples are worth as so many more labels, and no more: the fair baseline for every
    method that uses them in another way.
    """

    needs_clean = True
    joins_clean = True
