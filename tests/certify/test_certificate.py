"""The whole certificate: what it is made of, and what it says about verified rows that are not a sample."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gdw.certify import certify_labels, share_wrong, verified_sample
from gdw.errors import DataError

N = 1200


def certified(count: int = 200, **changes: Any) -> Any:
    """A certificate for labels of which a fifth are wrong, and models that know most of them."""
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=N)
    given = np.where(rng.random(N) < 0.2, (true + 1) % 3, true)
    suggested = np.where(rng.random(N) < 0.1, rng.integers(3, size=N), true)
    doubt = np.where(suggested != given, 0.5, 0.0) + 0.5 * rng.random(N)
    rows = rng.choice(N, count, replace=False)
    arguments: dict[str, Any] = {
        "given": given,
        "doubt": doubt,
        "rows": rows,
        "labels": true[rows],
        "label_names": ["a", "b", "c"],
        "suggested": suggested,
        "target": 0.15,
        **changes,
    }
    return certify_labels(**arguments), given, true, doubt, rows


def test_the_parts_agree() -> None:
    found, given, true, doubt, rows = certified()
    alone = share_wrong(verified_sample(N, rows, true[rows] != given[rows]), doubt)
    assert found.share.plain() == alone.plain()
    assert found.share.low < (true != given).mean() < found.share.high
    assert [d.what for d in found.decisions] == ["drop", "relabel"]
    assert all(d.rows is not None for d in found.decisions)
    assert found.curve.share[0] == pytest.approx((true != given)[rows].mean())
    assert len(found.classes) == 6
    assert found.widths[0] == pytest.approx(found.share.high - found.share.low)
    assert found.notes == ()
    plain = json.loads(json.dumps(found.plain()))
    assert plain["decisions"][0]["sentence"].startswith("leave out the ")
    assert len(plain["share"]["assumptions"]) == 3


def test_a_certificate_draws_the_rows_that_come_next() -> None:
    found, given, true, _, rows = certified(60)
    more = found.next_rows(40, seed=3)
    assert not set(more.rows.tolist()) & set(rows.tolist())
    together = np.concatenate([rows, more.rows])
    after, *_ = certified(
        60,
        rows=together,
        labels=true[together],
        probability=np.concatenate([found.sample.probability, more.probability]),
        batch=np.repeat([0, 1], [60, 40]),
    )
    assert after.share.verified == 100
    assert after.share.low <= (true != given).mean() <= after.share.high
    assert after.share.high - after.share.low < found.share.high - found.share.low


def test_rows_that_were_not_drawn_are_left_out() -> None:
    likely = np.where(np.arange(200) % 2, np.nan, 100 / N)
    found, given, true, doubt, rows = certified(probability=likely)
    kept = rows[::2]
    alone = share_wrong(verified_sample(N, kept, true[kept] != given[kept]), doubt)
    assert found.share.plain() == alone.plain()
    assert found.notes == ("100 verified rows are left out, because they were not drawn at random",)


def test_no_target_and_no_suggestions() -> None:
    found, *_ = certified(target=None)
    assert found.decisions == ()
    found, *_ = certified(target=None, most_right=0.5)
    assert [(d.what, d.target) for d in found.decisions] == [("changed", 0.5)]
    found, *_ = certified(suggested=None)
    assert found.curve is None
    assert [d.what for d in found.decisions] == ["drop"]


def test_notes_about_odd_answers() -> None:
    found, given, *_, rows = certified(20, target=None)
    same, *_ = certified(20, labels=given[rows], target=None)
    assert same.share.low == 0
    assert "no verified label differs from the given one" in same.notes[-1]
    other, *_ = certified(20, labels=(given[rows] + 1) % 3, target=None)
    assert "every verified label differs" in other.notes[-1]
    more, *_ = certified(20, label_names=["a", "b", "c", "d"], target=None)
    assert "1 class has no verified row, so nothing is known about it alone: 'd'" in more.notes[0]
    assert found.notes == ()


def test_bad_input() -> None:
    with pytest.raises(DataError, match=r"found 0 of 200: the others were chosen because"):
        certified(probability=np.full(200, np.nan))
    with pytest.raises(DataError, match="found 9: verify 60 random rows"):
        certified(9)
    with pytest.raises(DataError, match="a verified label for each of the 200 verified rows"):
        certified(labels=[1, 2])
    with pytest.raises(DataError, match="one selection probability for each of the 200"):
        certified(probability=[0.5])
