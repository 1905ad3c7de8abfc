"""What the look before training finds: single examples under BatchNorm, augmentation of what is no image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gdw.errors import ConfigError
from gdw.train import Trainer
from gdw.train.before_training import check_before_training
from tests.train.small import assert_same, config, data, network


def images(n: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 3, 6, 6), generator=generator, dtype=torch.uint8)
    return pixels, torch.arange(n) % 3


class Pixels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(inputs.float() / 255)
        return logits


@pytest.mark.parametrize(
    ("settings", "sizes", "message"),
    [
        (
            {"batch_size": 1},
            (12, 9),
            r"train: a batch has 1 example, .*use a batch_size .* of 2 or",
        ),
        ({"meta_batch_size": 1}, (12, 9), r"meta: .*--meta-batch-size\) of 2 or more$"),
        ({}, (12, 1), r"meta: a batch has 1 example, .*: give at least 2 meta examples$"),
        ({}, (1, 9), r"train: .*: give at least 2 train examples$"),
    ],
)
def test_a_single_example_under_batchnorm(
    tmp_path: Path, settings: dict[str, Any], sizes: tuple[int, int], message: str
) -> None:
    model, untouched = network(), network()
    with pytest.raises(ConfigError, match=message) as raised:
        Trainer(config(method="gdw", **settings)).fit(
            model, data(sizes[0]), data(sizes[1], seed=1), output=tmp_path / "run"
        )
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()
    assert_same(model, untouched)


@pytest.mark.parametrize(
    ("settings", "n", "message"),
    [
        (
            {"meta_batch_size": 3},
            9,
            r"meta: .* in each of 2 processes, .* of 4 or more, or fewer pro",
        ),
        ({}, 3, r"meta: .*: give at least 4 meta examples, or fewer processes"),
    ],
)
def test_the_smallest_share_of_several_processes_counts(
    settings: dict[str, Any], n: int, message: str
) -> None:
    from gdw.hypergradient.inputs import default_forward
    from gdw.train.feed import as_dataset

    sets = {"train": as_dataset(data(), "train"), "meta": as_dataset(data(n, seed=1), "meta")}
    with pytest.raises(ConfigError, match=message):
        check_before_training(
            network(), sets, default_forward, config=config(**settings), processes=2
        )


def test_single_examples_that_a_model_can_work_with_are_its_own_affair() -> None:
    one = config(batch_size=1, epochs=1)
    Trainer(one).fit(network(plain=True), data(4))
    Trainer(one).fit(Pixels(), images(4))


def test_an_error_of_the_model_in_train_mode_is_not_taken_for_batchnorms() -> None:
    class Fussy(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 3)
            self.norm = nn.BatchNorm1d(6)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise ValueError("fussy")
            return super().forward(inputs)

    with pytest.raises(ValueError, match=r"^fussy$"):
        Trainer(config(batch_size=1)).fit(Fussy(), data(4))


def test_augmentation_of_a_table_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    settings = config(augment="standard", epochs=1)
    with pytest.raises(
        ConfigError, match=r"--augment\) .*images: .*found inputs of shape \(8, 6\)"
    ):
        Trainer(settings).fit(network(), data(), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    Trainer(settings).fit(Pixels(), images(24), output=tmp_path / "run")
    assert (tmp_path / "run").exists()
