"""Plain training that uses the clean examples in the simplest ways."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gdw.options import Share
from gdw.reweight.options import MethodOptions, WeightingOptions
from gdw.reweight.plain import Plain


class PlainClean(Plain):
    """Ordinary training on the training set with the clean examples appended to it.

    The clean examples count as additional labels and nothing more. This is the fair baseline for methods
    that use them in another way.
    """

    needs_clean = True
    joins_clean = True


class CleanOnly(Plain):
    """Ordinary training on the clean examples alone, for as many steps as a run on all examples takes."""

    needs_clean = True

    def trains_on(self, epoch: int, epochs: int) -> Literal["given", "clean"]:
        del epoch, epochs
        return "clean"


class FineTuneOptions(WeightingOptions):
    """The options of `FineTune`."""

    share: Share = Field(
        0.3,
        description=(
            "Share of the epochs, at the end, that train on clean examples; rounded, at least one epoch "
            "unless 0."
        ),
    )


class FineTune(Plain):
    """Ordinary training on the given labels, then on the clean examples in the last epochs.

    The number of steps per epoch stays the same. The learning rate follows the schedule of the run, so with
    a cosine it is small at the end.
    """

    needs_clean = True
    Options: ClassVar[type[MethodOptions]] = FineTuneOptions

    def trains_on(self, epoch: int, epochs: int) -> Literal["given", "clean"]:
        share = self.options.share
        last = max(1, round(share * epochs)) if share else 0
        return "clean" if epoch > epochs - last else "given"
