"""Saved encoders that are missing, damaged, newer or hostile are refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from gdw._version import __version__
from gdw.data import fit_encoder, load, load_encoder
from gdw.data.encode import Encoder
from gdw.data.source import from_arrays
from gdw.errors import DataError, RunError


def _table(path):
    path.write_text("x,c,label\n1,u,a\n2,v,b\n", encoding="utf-8")
    return load(path, label="label")


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "encoder"
    fit_encoder(_table(tmp_path / "train.csv")).save(folder)
    return folder


def _refused(folder, message):
    with pytest.raises(RunError, match=message) as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


def test_saving_leaves_the_two_files_and_nothing_else(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["encoder.json", "encoder.skops"]


def test_every_encoder_keeps_the_contract(saved):
    assert isinstance(load_encoder(saved), Encoder)
    for X in (np.eye(3), np.ones((3, 4, 4))):
        assert isinstance(fit_encoder(from_arrays(X, [0, 1, 0])), Encoder)


def test_a_missing_file_is_named(saved, tmp_path):
    _refused(
        tmp_path / "nowhere",
        r"nowhere.encoder\.json does not exist: give the folder of a finished run",
    )
    (saved / "encoder.skops").unlink()
    _refused(saved, r"encoder\.skops does not exist.*train again")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "1"}', "\udcff"])
def test_damaged_settings_are_named(saved, content):
    (saved / "encoder.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    _refused(saved, r"encoder\.json is damaged")


@pytest.mark.parametrize("encoder", ["features", "image", "pixels", "table", "text"])
@pytest.mark.parametrize("value", [None, [], {}, "x", -1, [[1]]])
def test_settings_of_wrong_values_are_damaged_too(saved, encoder, value):
    keys = ("types", "width", "mean", "scale", "std", "image_size", "shape", "resized")
    keys += ("black", "white", "vocabulary", "idf", "by_character")
    content = {"format": 1, "encoder": encoder, **dict.fromkeys(keys, value)}
    (saved / "encoder.json").write_text(json.dumps(content), encoding="utf-8")
    _refused(saved, "is damaged")


def test_newer_and_unknown_encoders_are_refused(saved):
    settings = json.loads((saved / "encoder.json").read_text(encoding="utf-8"))
    (saved / "encoder.json").write_text(json.dumps({**settings, "format": 2}), encoding="utf-8")
    _refused(
        saved,
        rf"written by gdw {__version__} \(format 2\); this is gdw {__version__} \(format 1\): upgrade it",
    )
    (saved / "encoder.json").write_text(
        json.dumps({**settings, "encoder": "sound"}), encoding="utf-8"
    )
    _refused(saved, r"unknown encoder 'sound'")


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9])
def test_a_truncated_table_is_refused(saved, keep):
    whole = (saved / "encoder.skops").read_bytes()
    length = int(keep * len(whole)) if isinstance(keep, float) else keep
    (saved / "encoder.skops").write_bytes(whole[:length])
    _refused(saved, r"encoder\.skops is damaged")


def test_flipped_bytes_are_refused_or_harmless(saved, tmp_path):
    path = saved / "encoder.skops"
    whole = path.read_bytes()
    source = _table(tmp_path / "train.csv")
    expected = load_encoder(saved).encode(source)[[0, 1]]
    for place in np.random.default_rng(0).integers(0, len(whole), 40).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = load_encoder(saved).encode(source)[[0, 1]]
        except RunError:
            continue
        assert found.tolist() == expected.tolist(), f"byte {place} changes the encoding unnoticed"


def test_other_objects_than_ours_are_refused(saved):
    skops.io.dump(FunctionTransformer(print), saved / "encoder.skops")
    _refused(saved, r"types that gdw never saves \(.*print.*\): do not use this run")
    skops.io.dump(StandardScaler(), saved / "encoder.skops")
    _refused(saved, "is damaged")


def test_data_of_another_kind_are_refused(saved):
    with pytest.raises(DataError, match="expected table data as in training, found array data"):
        load_encoder(saved).encode(from_arrays(np.eye(3), [0, 1, 0]))


def test_importing_the_encoders_is_cheap():
    heavy = ("sklearn", "skops", "pandas", "pyarrow", "datasets", "PIL", "scipy")
    code = f"import sys, gdw.data.encode; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
