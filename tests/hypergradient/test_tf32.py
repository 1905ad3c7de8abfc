"""Products of float32 without TF32 while a finite difference is computed; the settings come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from gdw.hypergradient.tf32 import exact_float32, may_use_tf32

BACKENDS: Any = torch.backends


@pytest.fixture
def newly_named() -> Iterator[list[Any]]:
    """The settings by the names of PyTorch 2.9. A program has set one of them, so that the old ones raise."""
    conv = getattr(BACKENDS.cudnn, "conv", None)
    if conv is None:
        pytest.skip("this PyTorch has the old names only")
    before = conv.fp32_precision
    conv.fp32_precision = "ieee"
    yield [conv, BACKENDS.cudnn.rnn, BACKENDS.cuda.matmul]
    conv.fp32_precision = before


def test_inside_no_product_uses_tf32_and_afterwards_all_is_as_before() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with exact_float32():
            assert not BACKENDS.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
        assert BACKENDS.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_settings_by_their_new_names(newly_named: list[Any]) -> None:
    with pytest.raises(RuntimeError):
        _ = BACKENDS.cudnn.allow_tf32
    before = [part.fp32_precision for part in newly_named]
    with exact_float32():
        assert {part.fp32_precision for part in newly_named[:2]} == {"ieee"}
    assert [part.fp32_precision for part in newly_named] == before


def test_only_float32_on_a_gpu_may_use_tf32() -> None:
    assert not may_use_tf32(torch.zeros(1))
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        there = torch.empty(1, device="cuda")
        assert may_use_tf32(there)
        assert not may_use_tf32(there.double())
        with exact_float32():
            assert not may_use_tf32(there)
