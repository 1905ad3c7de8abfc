"""Data on a device: the batches are those of the CPU to the bit, made without a copy to the host."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gdw.data.augment import AUGMENTATIONS
from gdw.data.examples import Examples
from gdw.errors import DataError, ModelError
from gdw.train import device_examples, evaluate, trainer
from gdw.train.device_examples import DeviceExamples, TooLargeForDeviceWarning, on_device
from gdw.train.device_streams import DeviceStreams
from gdw.train.evaluation import device_and_dtype
from gdw.train.feed import BatchStreams, DataSets
from tests.train.small import At, assert_same, config, ctrl_c, fit, network, timeless

CPU: Any = {"device": torch.device("cpu"), "dtype": torch.float32}


class NoHostReads(TorchDispatchMode):
    """Refuses what makes the host wait for a device: reads of a number, and shapes that depend on values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "unique_dim"), name
        return func(*args, **(kwargs or {}))


def images(n: int = 40, size: int = 9) -> Examples:
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 3, size, size), generator=draws, dtype=torch.uint8)
    return Examples(pixels, torch.arange(n) % 3)


def on_both(
    train: Examples,
    meta: Examples,
    *,
    size: int = 1,
    rank: int = 0,
    joins: bool = False,
    **options: Any,
) -> tuple[BatchStreams, DeviceStreams]:
    settings = config(method="gdw", **options)
    processes: Any = SimpleNamespace(rank=rank, size=size)
    sets = DataSets(train=train, meta=meta, test=None)
    made = [
        kind(sets, settings, processes, joins_clean=joins, **CPU)
        for kind in (BatchStreams, DeviceStreams)
    ]
    assert isinstance(made[1], DeviceStreams)
    return made[0], made[1]


def require_equal(one: Any, other: Any) -> int:
    count = 0
    for (mine, (x, y)), (theirs, (u, v)) in zip(one, other, strict=True):
        assert mine == theirs
        assert x.dtype == u.dtype
        assert y.dtype == v.dtype
        assert torch.equal(x, u)
        assert torch.equal(y, v)
        count += 1
    return count


@pytest.mark.parametrize("at_once", [1, 3000, 2**26])
@pytest.mark.parametrize("kind", ["none", *AUGMENTATIONS])
def test_batches_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, kind: str, at_once: int
) -> None:
    monkeypatch.setattr(device_examples, "_AT_ONCE", at_once)
    train, meta = images(), images(13).select(np.array([4, 2, 9, 1, 12]))
    for rank, size in ((0, 1), (1, 2)):
        host, device = on_both(train, meta, augment=kind, rank=rank, size=size)
        for epoch, start in ((0, 0), (2, 1)):
            assert require_equal(host.train(epoch, start=start), device.train(epoch, start=start))
        cleans = (streams.train(1, start=0, part="clean") for streams in (host, device))
        assert require_equal(*cleans) == 3
        metas = [enumerate(islice(streams.meta(5), 7)) for streams in (host, device)]
        assert require_equal(*metas) == 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_tables_and_soft_targets(dtype: torch.dtype) -> None:
    draws = torch.Generator().manual_seed(0)
    X = torch.randn(30, 4, generator=draws, dtype=torch.float64)
    q = torch.rand(30, 3, generator=draws, dtype=torch.float64)
    settings, processes = config(method="gdw"), SimpleNamespace(rank=0, size=1)
    sets = DataSets(train=Examples(X, q), meta=Examples(X[:9], torch.arange(9) % 3), test=None)
    place: Any = {"device": torch.device("cpu"), "dtype": dtype, "joins_clean": True}
    host, device = (
        kind(sets, settings, processes, **place) for kind in (BatchStreams, DeviceStreams)
    )
    assert require_equal(host.train(0, start=0), device.train(0, start=0)) == 3
    replaced = torch.rand(9, 3, generator=draws, dtype=torch.float64)
    metas = [enumerate(islice(streams.meta(0, replaced), 5)) for streams in (host, device)]
    assert require_equal(*metas) == 5


def test_a_block_of_batches_is_made_without_waiting_for_the_device() -> None:
    _, device = on_both(images(), images(13), augment="standard+cutout")
    batches = device.train(0, start=0)
    next(batches)
    with NoHostReads():
        assert len(list(batches)) == 2


def test_data_that_do_not_fit_or_are_no_rows_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_examples, "free_bytes", lambda device: 29_000)
    with pytest.warns(
        TooLargeForDeviceWarning, match=r"train: 9\.7 kB of data do not fit .* 29\.0 kB free"
    ):
        assert on_device(images(), name="train", **CPU) is None
    fits = on_device(images(39), name="train", **CPU)
    assert isinstance(fits, DeviceExamples)

    class Slow:
        on_demand = True

        def __len__(self) -> int:
            return 2

    assert on_device(Examples(Slow(), torch.zeros(2)), name="train", **CPU) is None  # type: ignore[arg-type]
    assert on_device([1, 2], name="train", **CPU) is None


def test_inputs_that_are_read_in_parts_are_copied_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_examples, "_AT_ONCE", 700)
    whole = images(20)
    chosen = whole.select(np.arange(19, -1, -1)).joined(whole)
    copied = on_device(chosen, name="train", **CPU)
    assert copied is not None
    assert torch.equal(copied.inputs, torch.cat([whole.inputs.flip(0), whole.inputs]))  # type: ignore[union-attr]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def make_streams(settings: Any, sets: Any, model: Any, processes: Any) -> BatchStreams:
        device, dtype = device_and_dtype(model)
        return DeviceStreams(sets, settings, processes, device=device, dtype=dtype)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make_streams", make_streams)
        yield


@pytest.mark.parametrize("method", ["plain", "gdw", "mwn"])
def test_a_training_is_the_same(method: str, request: pytest.FixtureRequest) -> None:
    options: Any = {"method": method, "epochs": 2, "eval_batch_size": 7}
    before = network()
    expected = fit(before, config(**options))
    request.getfixturevalue("kept")
    after = network()
    found = fit(after, config(**options))
    assert_same(before, after)
    for mine, theirs in zip(timeless(found.history), timeless(expected.history), strict=True):
        for sums in (
            "test_nll",
            "test_ece",
        ):  # over views of the test set, which may be added up otherwise
            assert mine.pop(sums) == pytest.approx(theirs.pop(sums), rel=1e-6)
        assert mine == theirs


@pytest.mark.usefixtures("kept")
def test_a_training_that_was_stopped_within_an_epoch_goes_on(tmp_path: Any) -> None:
    settings = config(method="gdw", epochs=2)
    whole, parts = network(), network()
    fit(whole, settings)
    with pytest.warns(UserWarning, match="stopped"):
        fit(parts, settings, output=tmp_path / "run", callbacks=[At(7, ctrl_c)])
    fit(parts, settings, output=tmp_path / "run", resume=True)
    assert_same(whole, parts)


class Odd(nn.Module):
    """Logits that are the inputs."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


def test_evaluation_reads_the_device_once_and_names_what_is_wrong() -> None:
    X = torch.eye(3).repeat(7, 1)
    y = torch.arange(21) % 3
    examples = on_device(Examples(X, y), name="test", **CPU)
    assert examples is not None
    assert evaluate(Odd(), examples, batch_size=4) == evaluate(Odd(), Examples(X, y), batch_size=4)
    outputs = examples.outputs(Odd(), range(1, 21, 2), 4, "test")
    next(outputs)  # looks at the targets that lie on the CPU
    with NoHostReads():
        assert [len(next(outputs)[0]) for _ in range(2)] == [4, 2]
    X[13, 1] = torch.nan
    odd = on_device(Examples(X, y), name="test", **CPU)
    with pytest.raises(DataError, match="row 13"):
        evaluate(Odd(), odd, batch_size=4, name="test")
    too_many = on_device(Examples(torch.eye(3), torch.arange(3) + 1), name="test", **CPU)
    with pytest.raises(ModelError):
        evaluate(Odd(), too_many, name="test")
