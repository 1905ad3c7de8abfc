"""Data on a GPU: the batches of the CPU to the bit, and no wait for the host between them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from gdw.data.augment import AUGMENTATIONS
from gdw.data.examples import Examples
from gdw.train import Trainer, device_examples, evaluate
from gdw.train.device_streams import DeviceStreams
from gdw.train.feed import BatchStreams, DataSets, as_dataset
from tests.cuda.waiting import waits_refused
from tests.train.small import At, assert_same, config, ctrl_c, fit, network

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
    # What PyTorch says about itself.
    pytest.mark.filterwarnings("ignore:.*(no current CUDA context|AccumulateGrad node's stream)"),
]

CUDA = "cuda:0"


def images(n: int = 60, size: int = 9) -> Examples:
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 3, size, size), generator=draws, dtype=torch.uint8)
    return Examples(pixels, torch.arange(n) % 3)


def streams(
    train: Any, meta: Any, kind: type[BatchStreams], place: str, **options: Any
) -> BatchStreams:
    processes: Any = SimpleNamespace(rank=0, size=1)
    sets = DataSets(train=as_dataset(train, "train"), meta=as_dataset(meta, "meta"), test=None)
    where: Any = {"device": torch.device(place), "dtype": torch.float32}
    return kind(sets, config(method="gdw", **options), processes, **where)


def require_equal(train: Any, meta: Any, **options: Any) -> None:
    host = streams(train, meta, BatchStreams, "cpu", **options)
    device = streams(train, meta, DeviceStreams, CUDA, **options)
    for start in (0, 2):
        pairs = zip(host.train(1, start=start), device.train(1, start=start), strict=True)
        for (mine, (x, y)), (theirs, (u, v)) in pairs:
            assert mine == theirs
            assert (u.is_cuda, v.is_cuda) == (True, True)
            torch.testing.assert_close((u.cpu(), v.cpu()), (x, y), rtol=0, atol=0)
    for mine, theirs in zip(islice(host.meta(3), 9), islice(device.meta(3), 9), strict=True):
        torch.testing.assert_close(tuple(t.cpu() for t in theirs), mine, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["none", *AUGMENTATIONS])
@pytest.mark.parametrize("fits", [True, False])
def test_batches_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, kind: str, fits: bool
) -> None:
    if not fits:
        monkeypatch.setattr(device_examples, "on_device", lambda *a, **k: None)
        monkeypatch.setattr("gdw.train.device_streams.on_device", lambda *a, **k: None)
    require_equal(images(), images(13), augment=kind)


def test_tables_and_data_sets_of_the_user() -> None:
    draws = torch.Generator().manual_seed(0)
    X, y = torch.randn(60, 5, generator=draws), torch.arange(60) % 3
    require_equal((X, y), (X[:14], y[:14]))
    require_equal((X.double(), torch.rand(60, 3, generator=draws)), (X[:14].double(), y[:14]))
    require_equal(TensorDataset(X, y), TensorDataset(X[:14], y[:14]))


@pytest.mark.parametrize("fits", [True, False])
def test_no_batch_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch, fits: bool) -> None:
    if not fits:
        monkeypatch.setattr("gdw.train.device_streams.on_device", lambda *a, **k: None)
    device = streams(images(), images(13), DeviceStreams, CUDA, augment="standard+cutout")
    next(device.train(0, start=0))
    meta = device.meta(0)
    next(meta)
    with waits_refused():
        assert len(list(device.train(0, start=0))) == 5
        assert len(list(islice(meta, 5))) == 5


def test_evaluation_waits_once() -> None:
    examples = images()
    device: Any = device_examples.on_device(
        examples, device=torch.device(CUDA), dtype=torch.float32, name="test"
    )
    model = nn.Sequential(Unit(), nn.Flatten(), nn.Linear(243, 3)).to(CUDA)
    outputs = device.outputs(model, range(60), 25, "test")
    with torch.no_grad():
        next(outputs)
        with waits_refused():
            assert [len(next(outputs)[0]) for _ in range(2)] == [25, 10]
    mine, theirs = evaluate(model, device, batch_size=25), evaluate(model, examples, batch_size=25)
    assert mine == pytest.approx(theirs, rel=1e-5)


class Unit(nn.Module):
    """Bytes to numbers from 0 to 1."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float() / 255


def test_a_training_that_was_stopped_within_an_epoch_goes_on(tmp_path: Path) -> None:
    settings = config(method="gdw", epochs=2, accelerator="cuda")
    whole, parts = network(), network()
    fit(whole, settings)
    with pytest.warns(UserWarning, match="stopped"):
        fit(parts, settings, output=tmp_path / "run", callbacks=[At(7, ctrl_c)])
    fit(parts, settings, output=tmp_path / "run", resume=True)
    assert_same(whole, parts, rtol=1e-3, atol=1e-5)


def test_training_on_images_is_that_of_the_cpu() -> None:
    """By plain training: a finite difference enlarges what the two round differently."""
    ends = []
    for accelerator in ("cpu", "cuda"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(Unit(), nn.Flatten(), nn.Linear(243, 3))
        options: Any = {"augment": "standard", "accelerator": accelerator, "epochs": 2}
        trainer = Trainer(config(method="plain", **options))
        result = trainer.fit(model, images(), test=images(20))
        ends.append((model.cpu().state_dict(), result.history[-1]["train_loss"]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-3, atol=1e-4)


class Growing(Dataset[Any]):
    """Items whose values depend on how many were read before, as random transforms do."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.read += 1
        return torch.tensor([float(index), float(self.read)]), index % 3


def test_a_data_set_of_the_user_is_not_read_ahead_of_the_step() -> None:
    data = Growing()
    device = streams(data, (np.zeros((9, 2), np.float32), [0, 1, 2] * 3), DeviceStreams, CUDA)
    batches = device.train(0, start=0)
    before = data.read
    next(batches)
    assert data.read - before == 12
