"""Plain training on the clean examples alone."""

from __future__ import annotations

from typing import Literal

from gdw.reweight.plain import Plain


class CleanOnly(Plain):
    """Ordinary training on the clean examples, for as many steps as a run on all examples takes."""

    needs_clean = True

    def trains_on(self, epoch: int, epochs: int) -> Literal["given", "clean"]:
        del epoch, epochs
        return "clean"
