from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.train.config import lr_factor
from tests.train.small import config, fit, network


def test_cosine_closed_form() -> None:
    assert lr_factor(0, total=100) == 1.0
    assert lr_factor(50, total=100) == pytest.approx(0.5)
    assert lr_factor(100, total=100) == 0.0
    assert lr_factor(25, total=100) == pytest.approx((1 + math.sqrt(0.5)) / 2)


@given(st.integers(1, 300), st.integers(0, 100), st.data())
def test_cosine_is_symmetric_about_its_middle(total: int, warmup: int, draw: st.DataObject) -> None:
    length = 2 * total
    step = draw.draw(st.integers(0, length))
    left = lr_factor(warmup + step, total=warmup + length, warmup=warmup)
    right = lr_factor(warmup + length - step, total=warmup + length, warmup=warmup)
    assert left + right == pytest.approx(1.0)


@given(st.integers(1, 50), st.sampled_from(["cosine", "constant"]))
def test_warmup_is_a_straight_line_that_ends_at_one(warmup: int, schedule: str) -> None:
    rise = [lr_factor(step, total=100, warmup=warmup, schedule=schedule) for step in range(warmup)]
    assert rise == pytest.approx([(step + 1) / warmup for step in range(warmup)])
    assert lr_factor(warmup, total=100, warmup=warmup, schedule=schedule) == 1.0


def test_constant_stays() -> None:
    assert {lr_factor(step, total=10, schedule="constant") for step in range(12)} == {1.0}


def test_the_rate_of_a_training_is_that_of_its_last_step() -> None:
    settings = config(epochs=3, lr=0.5, warmup_epochs=1.4)  # five steps an epoch
    rates = [record["lr"] for record in fit(network(), settings).history]
    steps = (4, 9, 14)
    assert rates == [pytest.approx(0.5 * lr_factor(k, total=15, warmup=7)) for k in steps]
