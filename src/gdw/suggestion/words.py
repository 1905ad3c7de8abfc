"""What the terminal says of suggested rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gdw.errors import counted, shortened
from gdw.suggestion.learning_curve import enough, learning_curve

if TYPE_CHECKING:
    from gdw.suggestion.suggesting import Suggestion

USEFUL = 10
"""So many verified rows of each class are worth having, see docs/verified.md."""

_SHOWN = 10
_WORTH_IT = 0.01


def data_line(found: Suggestion) -> str:
    """The size of the data, and how much is verified."""
    source = found.looked.source
    verified = len(found.known.verified) + found.known.others
    total = counted(len(source), "row")
    classes = counted(len(source.label_names), "class", "classes")
    counts = f"{verified:,} verified before" if verified else "none verified yet"
    return f"{total} ({source.kind}), {classes}, {counts}"


def classes_line(found: Suggestion) -> str:
    """How many rows of each likely class are suggested."""
    counts, names = found.per_class, found.looked.source.label_names
    if len(names) <= _SHOWN:
        each = (f"{names[k]!r} {counts[k]:,}" for k in range(len(names)))
        return f"by likely class: {', '.join(each)}"
    low, high = int(counts.min()), int(counts.max())
    few = np.argsort(counts, kind="stable")[:3]
    fewest = "" if low == high else f"; fewest: {shortened([repr(names[k]) for k in few], 3)}"
    of = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"by likely class: {of} of each of {len(names):,} classes{fewest}"


def worth(found: Suggestion) -> str:
    """What more verified rows would be worth, in a line; empty if nothing is verified."""
    looked, known = found.looked, found.known
    verified = known.verified
    drawn = verified[~np.isnan(known.probability[verified])]
    if not len(verified) or looked.features is None:
        return ""
    curve = learning_curve(
        looked.opinions, looked.features, drawn, known.labels[drawn], known.probability[drawn]
    )
    if curve is None:
        return (
            f"what more rows are worth can be told from {enough(known.labels[drawn])} verified rows drawn at "
            f"random; there are {len(drawn)}"
        )
    now, low, high = (f"{100 * share:.0f}" for share in (curve.now, curve.low, curve.high))
    then = "as much" if now == low == high else f"{low} to {high} %"
    hardly = ": they are hardly worth it" if curve.high - curve.now < _WORTH_IT else ""
    return (
        f"the balanced accuracy of quick models is {now} % now, and {then} with {curve.more} more verified "
        f"rows{hardly}"
    )


def shortages(found: Suggestion, wanted: int, *, classes: bool = True) -> Iterator[str]:
    """What is missing: rows, or examples of `classes`."""
    chosen, count = len(found.choice), found.looked.opinions.num_classes
    if chosen < wanted:
        yield f"{wanted:,} rows were asked for; the data have {chosen:,} that are left"
    if not classes:
        return
    total = found.known.counted + found.per_class
    without = int((total == 0).sum())
    if without:
        has = counted(without, "class gets", "classes get")
        yield (f"{has} no row, and {USEFUL} of each class are worth having: -n {USEFUL * count:,}")
    sizes = np.bincount(found.looked.source.known_labels, minlength=count)
    scarce = np.flatnonzero((sizes > 0) & (sizes < USEFUL))
    if len(scarce):
        names = found.looked.source.label_names
        rows = [f"{names[k]!r} {sizes[k]}" for k in scarce[np.argsort(sizes[scarce])]]
        yield f"rare labels, of which there are few rows to verify: {shortened(rows, 5)}"
