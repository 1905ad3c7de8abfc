"""Tokens of texts: batches of different lengths, in whole, selected and joined inputs."""

import json
import sys

import numpy as np
import pytest
import torch

from gdw.backbones.preprocess_texts import TextPreprocessing
from gdw.data import load
from gdw.data.encode.encoder import load_encoder
from gdw.data.encode.tokens import TokenEncoder, TokenInputs
from gdw.data.examples import Examples, JoinedInputs
from gdw.errors import MissingDependencyError, RunError

ROWS = [[5, 6, 7], [8], [9, 1], [], [2, 3, 4, 5]]


def test_a_batch_is_as_long_as_its_longest_text():
    inputs = TokenInputs(ROWS)
    assert len(inputs) == 5
    assert inputs[[1, 2]].tolist() == [[8, -1], [9, 1]]
    assert inputs[np.array([3])].tolist() == [[-1]]
    assert inputs[[4, 0]].dtype == torch.int64


def test_equal_tokens_are_shown_alike():
    assert repr(TokenInputs(ROWS)) == repr(TokenInputs(ROWS))
    assert repr(TokenInputs(ROWS)) != repr(TokenInputs([[5, 6], [7, 8], *ROWS[2:]]))


def test_joined_tokens_are_filled_up():
    first, second = (
        Examples(TokenInputs(ROWS), torch.arange(5)),
        Examples(TokenInputs([[4, 4, 4, 4, 4], [3]]), torch.arange(2)),
    )
    both = first.joined(second).select(np.array([1, 5, 6, 0]))
    inputs, targets = both.__getitems__([0, 1, 3])
    assert inputs.tolist() == [[8, -1, -1, -1, -1], [4, 4, 4, 4, 4], [5, 6, 7, -1, -1]]
    assert targets.tolist() == [1, 0, 0]
    assert both.joined(first).__getitems__([2, 4])[0].tolist() == [[3, -1, -1], [5, 6, 7]]


@pytest.fixture
def encoder(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.models.WordLevel({"?": 0, "a": 1, "b": 2}, unk_token="?")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    (tmp_path / "t.csv").write_text("text,label\na b a b a,x\nb,y\na x,x\n")
    source = load(tmp_path / "t.csv", label="label", text="text")
    preprocessing = TextPreprocessing(tokenizer.to_str(), 4)
    return TokenEncoder.fit(source, preprocessing=preprocessing), source


def test_long_texts_are_cut_and_counted(encoder):
    fitted, source = encoder
    assert fitted.notes == ("1 of 3 texts is longer than 4 tokens: the rest is not used",)
    assert fitted.encode(source)[[0, 1, 2]].tolist() == [
        [1, 2, 1, 2],
        [2, -1, -1, -1],
        [1, 0, -1, -1],
    ]
    assert fitted.input_shape == (4,)


def test_a_missing_library_of_tokens_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gdw\[text\]'"):
        TextPreprocessing("{}", 4)(["a"])


def test_an_encoder_is_loaded_with_its_tokenizer(encoder, tmp_path):
    fitted, source = encoder
    fitted.save(tmp_path)
    again = load_encoder(tmp_path)
    assert torch.equal(again.encode(source)[[0, 1]], fitted.encode(source)[[0, 1]])
    assert again.preprocessing.settings == fitted.preprocessing.settings
    other = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(other))
    with pytest.raises(RunError, match=r"damaged \(tokenizer.json is not the tokenizer"):
        load_encoder(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"tokenizer.json does not exist"):
        load_encoder(tmp_path)


def test_joined_mappings_are_filled_up_under_their_mask():
    class Items:
        def __init__(self, width):
            self.width = width

        def __len__(self):
            return 2

        def __getitem__(self, indices):
            ones = torch.ones(len(indices), self.width, dtype=torch.int64)
            return {"input_ids": 7 * ones, "attention_mask": ones, "age": ones[:, :1]}

    joined = JoinedInputs(Items(1), Items(3))[[3, 0]]
    assert joined["input_ids"].tolist() == [[7, 7, 7], [7, 0, 0]]
    assert joined["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert joined["age"].shape == (2, 1)
