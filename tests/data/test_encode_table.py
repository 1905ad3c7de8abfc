"""Tables: what each kind of column becomes, and what happens to cells that training never saw."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gdw.data import fit_encoder, load, load_encoder
from gdw.data.encode.encoder import SparseInputs
from gdw.data.encode.table import _seconds
from gdw.errors import DataError


def _csv(path, text):
    path.write_text(text, encoding="utf-8")
    return load(path, label="label")


def _all(inputs):
    return inputs[np.arange(len(inputs))]


@pytest.fixture
def mixed(tmp_path):
    return _csv(
        tmp_path / "train.csv",
        "age,colour,constant,empty,ok,label\n"
        "10,red,5,,true,a\n"
        "20,blue,5,,false,b\n"
        "?,,5,,true,a\n"
        "60,red,5,,,b\n",
    )


def test_numbers_are_imputed_by_the_median_flagged_and_standardised(mixed):
    encoded = _all(fit_encoder(mixed).encode(mixed)).double()
    ages = torch.tensor([10.0, 20.0, 20.0, 60.0], dtype=torch.float64)
    expected = (ages - ages.mean()) / ages.std(correction=0)
    torch.testing.assert_close(encoded[:, 0], expected, rtol=1e-6, atol=1e-6)
    assert encoded[:, 1].tolist() == [0, 0, 0, 0], "a constant column is all zeros"
    assert encoded[:, 2].tolist() == [0, 0, 1, 0], "the missing age is flagged"


def test_categories_and_bools_are_one_hot_with_missing_as_one_of_them(mixed):
    encoder = fit_encoder(mixed)
    encoded = _all(encoder.encode(mixed))
    assert encoder.input_shape == (9,)
    assert encoded.dtype == torch.float32
    missing, blue, red = encoded[:, 3], encoded[:, 4], encoded[:, 5]
    assert missing.tolist() == [0, 0, 1, 0]
    assert blue.tolist() == [0, 1, 0, 0]
    assert red.tolist() == [1, 0, 0, 1]
    assert encoded[:, 6:].tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_unseen_categories_and_newly_missing_cells_are_encoded(mixed, tmp_path):
    other = _csv(tmp_path / "test.csv", "ok,age,colour,x,label,constant\ntrue,20,green,9,a,\n")
    encoded = _all(fit_encoder(mixed).encode(other))[0]
    assert encoded[1].item() == 0, "a missing constant takes its median"
    assert encoded[3:6].tolist() == [0, 0, 0], (
        "a colour of its own column is none of the known ones"
    )
    torch.testing.assert_close(encoded[0], _all(fit_encoder(mixed).encode(mixed))[1, 0])


def test_columns_that_are_gone_are_named(mixed, tmp_path):
    other = _csv(tmp_path / "test.csv", "ages,constant,colour,label\n1,5,red,a\n")
    message = r"found no 'age', 'ok' in .*test\.csv; its columns: .*Did you mean 'ages'\?"
    with pytest.raises(DataError, match=message):
        fit_encoder(mixed).encode(other)


def test_a_column_of_nothing_but_nan_becomes_zeros(tmp_path):
    table = pa.table({"x": [np.nan] * 4, "y": [1.0, 2, 1, 2], "label": list("abab")})
    pq.write_table(table, tmp_path / "train.parquet")
    source = load(tmp_path / "train.parquet", label="label")
    encoded = _all(fit_encoder(source).encode(source))
    assert encoded.tolist() == [[0, -1, 1], [0, 1, 1], [0, -1, 1], [0, 1, 1]]


def test_rare_categories_share_a_column_with_the_unseen(tmp_path):
    rows = [f"{'common' if i < 380 else f'rare{i}'},a" for i in range(400)]
    train = _csv(tmp_path / "train.csv", "word,label\n" + "\n".join(rows) + "\n")
    test = _csv(tmp_path / "test.csv", "word,label\nnever,a\ncommon,a\nrare399,a\n")
    encoder = fit_encoder(train)
    assert encoder.input_shape == (2,)
    assert _all(encoder.encode(test)).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_dates_become_standardised_seconds(tmp_path):
    days = [datetime.datetime(2024, 1, day, 12) for day in (1, 2, 4)]
    table = pa.table({"when": [*days, None], "label": ["a", "b", "a", "b"]})
    pq.write_table(table, tmp_path / "train.parquet")
    source = load(tmp_path / "train.parquet", label="label")
    encoded = _all(fit_encoder(source).encode(source)).double()
    x = torch.tensor([1.0, 2.0, 4.0, 2.0], dtype=torch.float64)
    expected = (x - x.mean()) / x.std(correction=0)
    torch.testing.assert_close(encoded[:, 0], expected, rtol=1e-5, atol=1e-5)
    assert encoded[:, 1].tolist() == [0, 0, 0, 1]


def test_wide_one_hot_stays_sparse_and_equals_its_dense_form(tmp_path):
    rows = [f"word{i % 40},a" for i in range(120)]
    source = _csv(tmp_path / "train.csv", "word,label\n" + "\n".join(rows) + "\n")
    inputs = fit_encoder(source).encode(source)
    assert isinstance(inputs, SparseInputs)
    assert _all(inputs).sum(dim=1).tolist() == [1.0] * 120
    batch = inputs[[3, 43, 4]]
    assert batch.shape == (3, 40)
    assert torch.equal(batch[0], batch[1])
    assert not torch.equal(batch[0], batch[2])


def test_a_saved_encoder_encodes_the_same(mixed, tmp_path):
    encoder = fit_encoder(mixed)
    encoder.save(tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    assert loaded.input_shape == encoder.input_shape
    assert loaded.kind == "table"
    assert loaded.mean_std is None
    assert torch.equal(_all(loaded.encode(mixed)), _all(encoder.encode(mixed)))


def test_encoding_in_chunks_changes_nothing(mixed, monkeypatch):
    encoder = fit_encoder(mixed)
    whole = _all(encoder.encode(mixed))
    monkeypatch.setattr("gdw.data.encode.table.CHUNK", 3)
    assert torch.equal(_all(encoder.encode(mixed)), whole)
    assert torch.equal(_all(encoder.encode(mixed.select(np.array([3, 0])))), whole[[3, 0]])


def test_no_rows_encode_to_no_rows(mixed):
    none = mixed.select(np.array([], dtype=np.int64))
    assert fit_encoder(mixed).encode(none)[[]].shape == (0, 9)
    with pytest.raises(DataError, match="has no rows"):
        fit_encoder(none)


def test_words_where_numbers_were_are_named_with_their_row(mixed, tmp_path):
    other = _csv(
        tmp_path / "test.csv",
        "age,colour,constant,empty,ok,label\n10,red,5,,true,a\nold,red,5,,true,a\n",
    )
    with pytest.raises(DataError, match=r"row 1 of test\.csv.*'age'.*number.*'old'"):
        fit_encoder(mixed).encode(other)


def test_numbers_where_names_were_are_refused_unless_one_is_known(tmp_path):
    train = _csv(tmp_path / "train.csv", "code,label\nx,a\n7,b\n")
    encoder = fit_encoder(train)
    digits = _csv(tmp_path / "digits.csv", "code,label\n7,a\n8,a\n")
    assert _all(encoder.encode(digits)).tolist() == [[1, 0], [0, 0]]
    unknown = _csv(tmp_path / "unknown.csv", "code,label\n1,a\n2,b\n")
    with pytest.raises(DataError, match=r"names such as '7', 'x' in column 'code'.*'1', '2' in"):
        encoder.encode(unknown)


@pytest.mark.parametrize("cell", ["inf", "-1e39"])
def test_a_number_beyond_float32_is_named_with_its_row(cell, tmp_path):
    source = _csv(tmp_path / "train.csv", f"x,y,label\n1,1,a\n2,{cell},b\n")
    with pytest.raises(DataError, match=rf"row 1 of train\.csv: column 'y'.*{cell[:3]}"):
        fit_encoder(source)


def test_a_table_without_anything_to_learn_from_is_refused(tmp_path):
    source = _csv(tmp_path / "train.csv", "x,label\n,a\n,b\n")
    with pytest.raises(DataError, match=r"found only empty ones \('x'\)"):
        fit_encoder(source)


def test_adult_survives_the_way_to_its_test_file(shared_data):
    train = load(shared_data / "adult" / "train.csv", label="income", limit=500)
    test = load(shared_data / "adult" / "test.csv", label="income", limit=500)
    encoder = fit_encoder(train)
    encoded = _all(encoder.encode(test))
    assert encoded.shape == (500, *encoder.input_shape)
    assert bool(encoded.isfinite().all())


def test_dates_beyond_nanoseconds_are_read(tmp_path):
    days = [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(1970, 1, 2), None]
    columns = {"when": pa.array(days, pa.date32()), "label": ["a", "b", "a", "b"]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    source = load(tmp_path / "x.parquet", label="label")
    seconds = _seconds(source.frame()["when"])
    assert seconds[:3].tolist() == [-62135596800.0, 253402214400.0, 86400.0]
    assert np.isnan(seconds[3])
    assert torch.isfinite(fit_encoder(source).encode(source)[np.arange(4)]).all()


def test_whole_numbers_are_one_category_however_they_are_written(tmp_path):
    train = _csv(tmp_path / "train.csv", "k,m,label\n1,1.0,a\n2,2.0,b\nx,y,a\nz,-3.0,b\n")
    other = _csv(tmp_path / "other.csv", "k,m,label\n1.0,1,a\n2.0,2,b\nx,y,a\nz,-3,b\n")
    encoder = fit_encoder(train)
    assert encoder.types == {"k": "category", "m": "category"}
    torch.testing.assert_close(_all(encoder.encode(other)), _all(encoder.encode(train)))
    assert encoder.unknown_notes(other) == ()


def test_a_column_of_mostly_new_names_is_named(tmp_path):
    train = _csv(tmp_path / "train.csv", "k,n,label\nyes,1,a\nno,2,b\nno,3,a\n,4,b\n")
    rows = "Yes,1,a\nno,2,b\nNo,3,a\n,4,b\n,5,b\n"
    encoder, other = fit_encoder(train), _csv(tmp_path / "other.csv", f"k,n,label\n{rows}")
    assert encoder.unknown_notes(train) == ()
    assert encoder.unknown_notes(other) == (
        "'k': 67% of the values never occurred in training, such as 'Yes' (training has 'no', 'yes')",
    )
    half = _csv(tmp_path / "half.csv", "k,n,label\nYes,1,a\nno,2,b\n,3,a\n")
    assert encoder.unknown_notes(half) == ()
