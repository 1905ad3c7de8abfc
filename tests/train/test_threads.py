"""The number of threads of a training: one for small layers, PyTorch's or the user's otherwise."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import gdw
from gdw.train import threads
from gdw.train.threads import divide_cores, layer_work, use_threads

X, Y = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
SMALL = nn.Linear(6, 3)
LARGE_BATCH = 3_000_000


class Seen(gdw.train.Callback):
    """Notes the number of threads while training."""

    number = 0

    def on_epoch(self, record: dict[str, object]) -> None:
        self.number = torch.get_num_threads()


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine with two cores where nobody has said anything about threads."""
    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    monkeypatch.setattr(threads, "_shares", [])
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_in_training(batch_size: int = 20) -> int:
    """The number of threads in `Trainer.fit`."""
    seen = Seen()
    trainer = gdw.Trainer(method="plain", epochs=1, batch_size=batch_size, progress="none")
    trainer.fit(nn.Linear(6, 3), (X, Y), callbacks=[seen])
    return seen.number


def test_small_layers_use_one_thread_and_the_number_is_restored() -> None:
    assert threads_in_training() == 1
    assert torch.get_num_threads() == 2


def test_large_layers_use_the_threads_of_pytorch() -> None:
    # 18 multiplications for each example.
    assert threads_in_training(batch_size=LARGE_BATCH) == 2


def test_the_number_is_restored_after_an_error() -> None:
    class Failing(gdw.train.Callback):
        def on_epoch(self, record: dict[str, object]) -> None:
            raise ValueError("stop here")

    with pytest.raises(ValueError, match="stop here"):
        gdw.Trainer(method="plain", epochs=1, progress="none").fit(
            nn.Linear(6, 3), (X, Y), callbacks=[Failing()]
        )
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_the_number_in_the_environment_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    assert threads_in_training() == 2


def test_a_number_that_is_not_of_pytorch_is_kept() -> None:
    torch.set_num_threads(3)
    assert threads_in_training() == 3
    assert torch.get_num_threads() == 3


def test_a_share_of_the_cores_is_not_a_choice_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 9)
    assert divide_cores(1) is None
    assert divide_cores(3) == 3
    assert divide_cores(20) == 1
    use_threads(3)
    assert torch.get_num_threads() == 3
    assert threads_in_training() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert divide_cores(3) is None


def test_the_share_that_fabric_gives_to_several_processes_is_not_a_choice_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert not threads._is_given(2, processes=2)
    assert threads._is_given(2, processes=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads._is_given(3, processes=2)


def test_the_numbers_of_a_run_do_not_depend_on_the_cores() -> None:
    weights = []
    for number in (1, 2):
        torch.set_num_threads(number)
        torch.manual_seed(0)
        model = nn.Linear(6, 3)
        gdw.Trainer(epochs=1, batch_size=20, progress="none").fit(model, (X, Y), (X[:9], Y[:9]))
        weights.append(model.weight.detach().clone())
    assert torch.equal(*weights)


def test_the_work_of_a_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 25, 2))
    images = torch.randn(6, 3, 5, 5)
    # A kernel of 3 x 3 x 3 for 4 channels at 25 positions; and 100 x 2 weights. For 10 examples.
    assert layer_work(model, 10, lambda: model(images)) == 10 * (4 * 27 * 25 + 200) / 2
    assert layer_work(model, 10, lambda: None) == 0
    tokens = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 3))
    # The linear layer is used for each of 7 tokens; the embedding is looked up.
    assert layer_work(tokens, 2, lambda: tokens(torch.zeros(5, 7, dtype=torch.long))) == 2 * 12 * 7
    assert not model[0]._forward_hooks


def test_unknown_work_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_is_layer", lambda module: False)
    assert threads_in_training() == 2
