"""Data sets of the user's own: items of many kinds, whose labels count and no attribute's."""

from __future__ import annotations

import dataclasses
import warnings
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

import gdw
from gdw.data.examples import Examples
from gdw.errors import DataError, ModelError
from gdw.train import Trainer
from gdw.train.evaluation import predict_probabilities
from gdw.train.feed import as_dataset, targets_of
from gdw.train.user_dataset import UnusedValuesWarning
from tests.train.small import assert_same, config, data, network

INPUTS, LABELS = data()


class Items(torch.utils.data.Dataset[Any]):
    """Items made by a function of input, label and number."""

    def __init__(self, item: Callable[[Tensor, int, int], Any] = lambda x, y, _: (x, y)) -> None:
        self._item = item

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, i: int) -> Any:
        return self._item(INPUTS[i], int(LABELS[i]), i)


def hugging_face(**columns: Any) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict(columns or {"x": INPUTS.tolist(), "label": LABELS.tolist()})


def trained(train: Any, meta: Any = None, *, method: str = "plain", **options: Any) -> nn.Module:
    model = network()
    Trainer(config(epochs=1, method=method, **options)).fit(model, train, meta)
    return model


Named = namedtuple("Named", ["target", "picture"])


@dataclasses.dataclass
class Sample:
    x: Tensor
    y: int


SAME: dict[str, Any] = {
    "pairs": Items(),
    "a list of pairs": [(INPUTS[i], int(LABELS[i])) for i in range(60)],
    "lists of numbers": Items(lambda x, y, i: (x.double().tolist(), y)),
    "reversed arrays": Items(lambda x, y, i: (x.flip(0).numpy()[::-1], np.int32(y))),
    "labels of one element": Items(lambda x, y, i: (x, np.array([y]))),
    "mappings": Items(lambda x, y, i: {"x": x, "label": y}),
    "other names": Items(lambda x, y, i: {"Y": y, "pixel_values": x}),
    "named tuples": Items(lambda x, y, i: Named(y, x)),
    "dataclasses": Items(lambda x, y, i: Sample(x, y)),
    "tensors": TensorDataset(INPUTS, LABELS),
    "subsets": Subset(Subset(Items(), range(60)), range(60)),
    "subsets of Examples": Subset(Subset(Examples(INPUTS, LABELS), range(60)), range(60)),
    "joined": ConcatDataset([Subset(Items(), range(25)), Subset(Items(), range(25, 60))]),
}


@pytest.mark.parametrize("kind", SAME)
def test_items_of_all_kinds_train_as_arrays_do(kind: str) -> None:
    assert_same(trained(SAME[kind]), trained((INPUTS, LABELS)))


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
@pytest.mark.parametrize("workers", [0, 1])
def test_hugging_face_data_sets_train_as_they_are(form: str | None, workers: int) -> None:
    if workers and form != "torch":
        pytest.skip("one form is enough for loader processes")
    datasets = pytest.importorskip("datasets")
    given = hugging_face().cast_column("label", datasets.ClassLabel(names=["a", "b", "c"]))
    given = given.with_format(form) if form else given
    meta = given.select(range(20))
    model = trained(given, meta, method="glc", workers=workers)
    pairs = Items(), Subset(Items(), range(20))
    assert_same(model, trained(*pairs, method="glc", workers=workers))
    figures = Trainer(config()).evaluate(model, given)
    assert figures == Trainer(config()).evaluate(model, (INPUTS, LABELS))


def test_columns_of_a_hugging_face_data_set_are_arrays() -> None:
    given = hugging_face()
    for x, y in (
        (given["x"], given["label"]),
        (given.with_format("numpy")["x"], given.with_format("torch")["label"]),
        (given.with_format("torch")["x"], given.with_format("numpy")["label"]),
    ):
        assert_same(trained((x, y)), trained((INPUTS, LABELS)))


def test_several_inputs_reach_the_model_by_name_and_texts_do_not() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            assert input_ids.dtype == attention_mask.dtype == torch.int64
            logits: Tensor = self.head((self.embed(input_ids) * attention_mask[..., None]).mean(1))
            return logits

    given = hugging_face(
        idx=list(range(12)),
        sentence=["a b"] * 12,
        input_ids=[[1, 2, i % 9] for i in range(12)],
        attention_mask=[[1, 1, 0]] * 12,
        label=[0, 1, 2] * 4,
    )
    with pytest.warns(UnusedValuesWarning, match=r"not used: 'idx', 'sentence'$") as told:
        Trainer(config(method="robust", epochs=1)).fit(Tokens(), given, given, test=given)
    assert sorted(str(w.message).split(":")[0] for w in told) == ["meta", "test", "train"]
    keywords = pytest.raises(ModelError, match="'input_ids', 'attention_mask' of the items as key")
    with keywords, pytest.warns(UnusedValuesWarning):
        trained(given)


class LastToken(nn.Module):
    """As GPT-2 does, this classifier looks at the last token that is not `pad_token_id`."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(pad_token_id=8)
        self.embed = nn.Embedding(9, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        last = (input_ids != self.config.pad_token_id).sum(1) - 1
        logits: Tensor = self.embed(input_ids[torch.arange(len(input_ids)), last])
        return logits


def test_texts_are_filled_up_with_the_token_of_the_model() -> None:
    model = LastToken()
    texts = [[k, (k + 1) % 3, *[5] * (k % 2)] for k in range(3)] * 4
    items = [
        ({"input_ids": text, "attention_mask": [1] * len(text)}, text[-1] % 3) for text in texts
    ]
    alone = [next(predict_probabilities(model, [item] * 3))[1][0] for item in items]
    together = torch.cat([p for _, p in predict_probabilities(model, items)])
    torch.testing.assert_close(together, torch.stack(alone))
    before = model.embed.weight.detach().clone()
    Trainer(config(epochs=1, weight_decay=0.0)).fit(model, items, test=items)
    changed = (model.embed.weight != before).any(1).nonzero().flatten().tolist()
    assert changed == sorted({text[-1] for text in texts})


def test_a_pair_of_columns_and_labels_is_what_a_tokenizer_returns() -> None:
    tokens, mask = [[1, 2, i] for i in range(8)], [[1, 1, 0]] * 8
    columns = {"input_ids": tokens, "attention_mask": mask}
    items = [
        {"input_ids": t, "attention_mask": m, "label": i % 3}
        for i, (t, m) in enumerate(zip(tokens, mask, strict=True))
    ]
    labels = np.arange(8) % 3
    rows = list(range(8))
    (expected, y), (found, z) = (
        as_dataset(d, "train").__getitems__(rows)[:2] for d in (items, (columns, labels))
    )
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in columns)
    assert torch.equal(y, z)
    arrays = {key: np.array(value) for key, value in columns.items()}
    again = as_dataset((arrays, labels.tolist()), "train").__getitems__(rows)[0]
    assert torch.equal(again["input_ids"], found["input_ids"])
    with pytest.raises(
        DataError, match=r"train: X has .* than y, which has 5: 'input_ids' 8, 'att"
    ):
        as_dataset((columns, labels[:5]), "train")


def test_the_third_value_is_left_out_if_it_is_the_row_number() -> None:
    numbered = Items(lambda x, y, i: (x, y, i))
    for given in (numbered, Subset(numbered, list(range(60)))):
        with pytest.warns(UnusedValuesWarning, match="train: .* third value, its row number"):
            assert_same(trained(given), trained((INPUTS, LABELS)))


class WithAttribute(Items):
    """A data set whose `targets` are not what its items hold."""

    def __init__(self, targets: Any, *, shift: bool = True) -> None:
        super().__init__(lambda x, y, i: (x, (y + shift) % 3))
        self.targets = targets


@pytest.mark.parametrize(
    "targets", [LABELS, LABELS.tolist(), LABELS.numpy(), LABELS.repeat(2), "no"]
)
def test_labels_are_those_of_the_items(targets: Any) -> None:
    given = WithAttribute(targets)
    expected = (LABELS + 1) % 3
    assert torch.equal(targets_of(as_dataset(given, "train")), expected)
    assert torch.equal(targets_of(as_dataset(Subset(given, [3, 1]), "train")), expected[[3, 1]])
    for method in ("plain", "posterior"):
        meta = Subset(given, range(20))
        assert_same(
            trained(given, meta, method=method),
            trained((INPUTS, expected), (INPUTS[:20], expected[:20]), method=method),
        )


def test_the_classes_are_those_of_the_items() -> None:
    binary = WithAttribute(LABELS)
    binary._item = lambda x, y, _: (x, int(y == 2))
    model = nn.Linear(6, 2)
    Trainer(config(epochs=1)).fit(model, binary)
    with pytest.raises(ModelError, match="train: found class 2, but the model has 2 logits"):
        Trainer(config(epochs=1)).fit(model, WithAttribute(LABELS, shift=False))


def test_a_reader_of_labels_neither_draws_nor_counts_twice() -> None:
    reads: list[int] = []

    def item(x: Tensor, y: int, i: int) -> Any:
        reads.append(i)
        return x + torch.rand(6), y

    dataset: Any = as_dataset(WithAttribute(LABELS), "train")
    dataset.dataset._item = item
    before = torch.get_rng_state()
    assert torch.equal(targets_of(dataset), LABELS)
    assert torch.equal(targets_of(dataset), LABELS)
    assert torch.equal(torch.get_rng_state(), before)
    assert sorted(reads) == sorted([*range(60), *range(8)])


def test_labels_that_change_are_refused_where_they_are_read_once() -> None:
    changing = Items(lambda x, y, i: (x, int(torch.randint(3, ()))))
    trained(changing)
    with pytest.raises(DataError, match=r"train: row \d has another label when it is read again"):
        trained(changing, Items(), method="posterior")


def test_labels_of_known_containers_are_not_read() -> None:
    class Unread(TensorDataset):
        pass

    inner = hugging_face(x=INPUTS.tolist(), label=LABELS.tolist())
    for given in (TensorDataset(INPUTS, LABELS), Examples(INPUTS, LABELS), inner):
        dataset: Any = as_dataset(Subset(given, [4, 2]), "train")
        assert torch.equal(targets_of(dataset), LABELS[[4, 2]])
        assert isinstance(dataset, Examples) or dataset.known_targets is not None
    assert as_dataset(Unread(INPUTS, LABELS), "train").known_targets is None  # type: ignore[attr-defined]


def test_a_loop_of_ones_own_prepares_with_mappings() -> None:
    ends = []
    for form in (Items(), Items(lambda x, y, i: {"x": x, "label": y})):
        model = network()
        reweighter = gdw.reweight.build("glc", model, torch.optim.SGD(model.parameters(), lr=0.1))
        gdw.prepare(reweighter, form, form, epochs=1, batch_size=20, progress="none")
        ends.append(reweighter.state_dict()["found"]["matrix"])
    assert torch.equal(*ends)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from Items()

    def __len__(self) -> int:
        return 3


def _picture() -> Any:
    from PIL import Image

    return Image.new("RGB", (2, 2))


REFUSED: dict[str, tuple[Any, str]] = {
    "text": (Items(lambda x, y, i: (x, "ab"[i % 2])), "label of row 0 is text, 'a', .* numbers 0 to C-1"),
    "no label": (Items(lambda x, y, i: (x, None if i == 3 else y)), r"row 3 has no label \(None\)"),
    "nan label": (Items(lambda x, y, i: (x, float("nan"))), "the target of row 0 is nan"),
    "three": (Items(lambda x, y, i: (x, x, y)), r"row \d: the item has 3 values: return .*x1, x2"),
    "one": (Items(lambda x, y, i: x), r"row 0: the item is a Tensor: return \(inputs, target\)"),
    "one value": (TensorDataset(INPUTS), "row 0: the item has 1 value: return"),
    "no key": (Items(lambda x, y, i: {"x": x, "fine": y}), "the item has 'x', 'fine', none of which"),
    "two keys": (Items(lambda x, y, i: {"x": x, "y": y, "label": y}), "several targets, 'y', 'label'"),
    "only label": (Items(lambda x, y, i: {"y": y}), "nothing but 'y'"),
    "only texts": (Items(lambda x, y, i: {"a": "u", "b": "v", "y": y}), "no numbers but 'y', only 'a', 'b'"),
    "a text": (Items(lambda x, y, i: {"a": "u", "y": y}), "row 0: the input is text, 'u': encode"),
    "a picture": (Items(lambda x, y, i: (_picture(), y)), "row 0: the input is a Image: make a tensor"),
    "a hole": (Items(lambda x, y, i: ([1.0, None], y)), r"the input holds missing \(None\): fill it in"),
    "ragged": (Items(lambda x, y, i: (x[: 2 + i % 2], y)), r"rows 0 and 1 have unlike .*\(2,\) and .*\(3,\)"),
    "a target of parts": (Items(lambda x, y, i: (x, {"a": y})), "the target of row 0 is a dict"),
    "a stream": (Stream(), "found Stream: a stream has no positions"),
    "a loader": (DataLoader(Items()), "found DataLoader: give its data set, loader.dataset"),
    "a path": ("train.csv", "found str: read the file first"),
    "a mapping of arrays": ({"x": INPUTS, "y": LABELS}, "found dict of 'x', 'y': give two of its values"),
    "splits": ({"train": Items(), "test": Items()}, r"choose one of them, such as data\['train'\]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_data_set_is_said_in_one_line(kind: str) -> None:
    given, message = REFUSED[kind]
    with pytest.raises(DataError, match=message) as raised:
        Trainer(config()).fit(network(), Items(), test=given)
    assert str(raised.value).startswith("test: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.where(torch.arange(60) == 9, -1, LABELS), "class -1, .* leave such examples out if -1"),
        (torch.where(torch.arange(60) == 9, 255, LABELS), "class 255, .* leave such examples out if 255"),
        (torch.where(torch.arange(60) == 9, 3, LABELS), "class 3, .* give the model one output"),
        (torch.eye(3)[LABELS].long(), r"integer targets are class numbers .* \(60, 3\)"),
    ],
)  # fmt: skip
def test_targets_without_a_logit(targets: Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        trained((INPUTS, targets))


def test_whole_numbers_for_a_model_of_decimals() -> None:
    with pytest.raises(ModelError, match=r"train: .*: the inputs are torch.int64; give floating"):
        trained(((INPUTS * 10).long(), LABELS))


def test_a_worker_process_says_nothing_twice() -> None:
    numbered = Items(lambda x, y, i: (x, y, i))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trained(numbered, workers=1)
    assert len(told) == 1
