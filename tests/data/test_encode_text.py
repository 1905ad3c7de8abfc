"""Texts as TF-IDF rows, against the formula."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from gdw.data import fit_encoder, load, load_encoder
from gdw.errors import ConfigError, DataError


def _texts(path, texts):
    lines = [json.dumps({"text": text, "label": "ab"[i % 2]}) for i, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load(path, label="label", text="text")


@pytest.fixture
def source(tmp_path):
    return _texts(tmp_path / "a.jsonl", ["I pay pay bills", "you pay", "bills I see", "see you"])


def test_rows_follow_the_formula(source):
    encoder = fit_encoder(source)
    row = encoder.encode(source)[[0]][0].double()
    counts = {"i": 1, "pay": 2, "bills": 1, "i pay": 1, "pay pay": 1, "pay bills": 1}
    holding = {"i": 2, "pay": 2, "bills": 2, "i pay": 1, "pay pay": 1, "pay bills": 1}
    weights = {
        word: (1 + math.log(count)) * (1 + math.log((1 + 4) / (1 + holding[word])))
        for word, count in counts.items()
    }
    norm = math.sqrt(sum(weight**2 for weight in weights.values()))
    found = {encoder.vocabulary[i]: row[i].item() for i in row.nonzero().flatten()}
    assert found == pytest.approx({w: v / norm for w, v in weights.items()}, rel=1e-5)


def test_batches_are_dense_float32_of_unit_length(source):
    inputs = fit_encoder(source).encode(source)
    batch = inputs[np.array([2, 0])]
    assert batch.dtype == torch.float32
    assert torch.equal(batch[1], inputs[[0]][0])
    torch.testing.assert_close(batch.norm(dim=1), torch.ones(2))


def test_unseen_words_count_for_nothing(source, tmp_path):
    other = _texts(tmp_path / "b.jsonl", ["martian words only", "", "pay martian", "pay"])
    batch = fit_encoder(source).encode(other)[[0, 1, 2, 3]]
    assert not batch[:2].any()
    assert torch.equal(batch[2], batch[3])


def test_max_features_keeps_the_most_frequent(source):
    encoder = fit_encoder(source, max_features=1)
    assert encoder.vocabulary == ("pay",)
    assert encoder.input_shape == (1,)
    with pytest.raises(ConfigError, match="max_features of 1 or more, found 0"):
        fit_encoder(source, max_features=0)


def test_scripts_without_spaces_are_read_by_character(tmp_path):
    source = _texts(tmp_path / "a.jsonl", ["今天天气好", "我要付账单", "天气不好", "账单付了"])
    encoder = fit_encoder(source)
    assert encoder.by_character
    assert {"天气", "账单"} <= set(encoder.vocabulary)
    similar, different = encoder.encode(source)[[0, 2, 1]].double()[0] @ (
        encoder.encode(source)[[2, 1]].double().T
    )
    assert similar > different


@pytest.mark.parametrize("texts", [["I pay", "you pay", "we see"], ["红色", "蓝色", "红蓝"]])
def test_a_saved_encoder_encodes_the_same(texts, tmp_path):
    source = _texts(tmp_path / "a.jsonl", texts)
    encoder = fit_encoder(source)
    encoder.save(tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    assert loaded.vocabulary == encoder.vocabulary
    rows = np.arange(len(source))
    assert torch.equal(loaded.encode(source)[rows], encoder.encode(source)[rows])


def test_encoding_in_chunks_changes_nothing(source, monkeypatch):
    encoder = fit_encoder(source)
    whole = encoder.encode(source)[np.arange(4)]
    monkeypatch.setattr("gdw.data.encode.text.CHUNK", 3)
    assert torch.equal(encoder.encode(source)[np.arange(4)], whole)
    none = source.select(np.array([], dtype=np.int64))
    assert encoder.encode(none)[[]].shape == (0, whole.shape[1])


def test_texts_without_words_are_refused(tmp_path):
    source = _texts(tmp_path / "a.jsonl", ["? !", "... ...", "- -"])
    with pytest.raises(DataError, match=r"no words in the text column 'text' of .*a\.jsonl"):
        fit_encoder(source)
