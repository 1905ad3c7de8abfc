"""The file of the evidence: back as it was, and one clear error for everything else."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gdw.audit import Evidence
from gdw.errors import RunError
from tests.audit.made import drawn, evidence


def test_back_as_it_was(tmp_path: Path) -> None:
    p, given = drawn(9, 11)
    made = evidence(p, given, q=p[::-1], rows=np.arange(9) * 2, clean_true=np.array([1, 10]))
    made.save(tmp_path / "e.safetensors")
    read = Evidence.load(tmp_path / "e.safetensors")
    for name, value in vars(made).items():
        np.testing.assert_array_equal(getattr(read, name), value, err_msg=name)
    assert read.clean_given is None
    assert read.top_classes.dtype == np.int32
    assert read.p_given.dtype == np.float32


def test_a_file_that_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "evidence.safetensors"
    with pytest.raises(RunError, match="does not exist: expected the evidence of a finished run"):
        Evidence.load(path)
    path.write_bytes(pickle.dumps({"given": [1, 2]}))
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        Evidence.load(path)
    path.write_bytes(b"")
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        Evidence.load(path)
    evidence(*drawn(4, 3)).save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        Evidence.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"given": np.array([0, 1, 2, 3])}, "given: expected classes from 0 to 2"),
        ({"p_given": np.ones(3, dtype=np.float32)}, r"p_given: expected shape \(4,\)"),
        ({"p_given": np.full(4, np.nan, dtype=np.float32)}, "p_given: expected probabilities"),
        ({"visits": None}, "visits"),
        ({"top_classes": np.ones((4, 3))}, "top_classes: expected shape"),
    ],
)
def test_arrays_that_do_not_go_together(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "e.safetensors"
    evidence(*drawn(4, 3)).save(path)
    arrays = {k: v for k, v in {**load_file(path), **change}.items() if v is not None}
    save_file(arrays, path, metadata={"format": "1", "classes": "3"})
    with pytest.raises(RunError, match=message) as error:
        Evidence.load(path)
    assert "\n" not in str(error.value)


def test_newer_and_nameless_formats(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    evidence(*drawn(4, 3)).save(path)
    arrays = load_file(path)
    save_file(arrays, path, metadata={"format": "2"})
    with pytest.raises(
        RunError, match=r"by a newer gdw \(format 2\); this is gdw .* \(format 1\): upgrade"
    ):
        Evidence.load(path)
    save_file(arrays, path, metadata={"format": "2", "gdw_version": "9.1"})
    with pytest.raises(RunError, match=r"by gdw 9\.1 \(format 2\)"):
        Evidence.load(path)
    save_file(arrays, path)
    with pytest.raises(RunError, match="damaged"):
        Evidence.load(path)
