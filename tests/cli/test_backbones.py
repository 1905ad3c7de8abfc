"""Training on features of a backbone from the command line, with a tiny backbone in place of a real one."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import Result
from PIL import Image
from torch import nn

from gdw.backbones.backbone import Backbone
from gdw.errors import MissingDependencyError
from gdw.runs import load
from tests.data.fake_backbone import image_backbone, text_backbone

Run = Callable[..., Result]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Backbone]:
    """Two backbones that are installed, as packages are: of images and of texts."""
    known = {"fake:images": image_backbone(), "fake:texts": text_backbone()}
    kinds = {name: backbone.kind for name, backbone in known.items()}
    choice = "gdw.runs.backbone_choice"
    monkeypatch.setattr(
        f"{choice}.packaged", lambda kind: f"fake:{kind}s" if kind in kinds.values() else None
    )
    monkeypatch.setattr(f"{choice}.kind_of", kinds.get)
    monkeypatch.setattr(f"{choice}.located", lambda name: name)
    monkeypatch.setattr("gdw.backbones.names.require_available", lambda name: known[name])
    monkeypatch.setattr("gdw.backbones.names.require_installed", lambda name: None)
    monkeypatch.setattr("gdw.backbones.loading.load_backbone", lambda name, **_: known[name])
    return known


def write_texts(path: Path, rows: int, *, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["request", "intent"])
        for i in range(rows):
            letters = "aabc" if i % 2 else "xyzz"
            writer.writerow([f"{i} {''.join(rng.choice([*letters], 9))} please", f"intent {i % 2}"])


def write_photos(folder: Path, count: int, *, side: int) -> None:
    rng = np.random.default_rng(len(folder.name))
    for i in range(count):
        pixels = rng.integers(0, 120, (side, side, 3)) + 120 * (i % 2)
        place = folder / ("cat", "dög")[i % 2] / f"{i}, 'ü'.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)


@pytest.fixture
def texts(here: Path) -> tuple[str, ...]:
    for name, rows, seed in (("texts", 60, 0), ("checked", 12, 1), ("holdout", 20, 2)):
        write_texts(here / f"{name}.csv", rows, seed=seed)
    return ("texts.csv", "--label", "intent", "--meta", "checked.csv", "--method", "plain_clean")


@pytest.fixture
def photos(here: Path) -> tuple[str, ...]:
    for name, count in (("photos", 24), ("checked", 8)):
        write_photos(here / name, count, side=80)
    return ("photos", "--meta", "checked", "--method", "plain_clean")


def test_texts_and_photos_use_what_is_installed_and_say_so(
    gdw: Run,
    fakes: dict[str, Backbone],
    texts: tuple[str, ...],
    photos: tuple[str, ...],
    here: Path,
) -> None:
    for words, name, what in (
        (texts, "fake:texts", "learns from words, TF-IDF"),
        (photos, "fake:images", "trains from scratch"),
    ):
        done = gdw("train", *words, "--epochs", 3, "--output", "run")
        assert done.exit_code == 0, done.output
        assert f"features: {name} (installed; --backbone none {what})" in done.stdout
        assert f"model linear head on {name} (" in done.stdout
        assert "3 epochs, seed 0" in done.stdout
        model = yaml.safe_load((here / "run/config.yaml").read_text())["model"]
        assert (model["name"], model["backbone"], model["finetune"]) == ("linear", name, "none")
        (here / "run").rename(here / name.replace(":", "-"))


def test_every_command_takes_a_run_on_features(
    gdw: Run, fakes: dict[str, Backbone], texts: tuple[str, ...], here: Path
) -> None:
    words: tuple[object, ...] = (
        *texts,
        "--backbone",
        "fake:texts",
        "--epochs",
        4,
        "--stop-after",
        2,
    )
    done = gdw("train", *words, "--output", "run")
    assert done.exit_code == 0, done.output
    assert "features: " not in done.stdout.splitlines()[0]
    computed = fakes["fake:texts"].module.computed  # type: ignore[union-attr]
    # What was chosen is in the folder, also if the data are named again and nothing is installed.
    for words in ((), texts):
        done = gdw("train", *words, "--resume", "--output", "run")
        assert done.exit_code == 0, done.output
    assert fakes["fake:texts"].module.computed == computed  # type: ignore[union-attr]
    for command in (
        ("evaluate", "run", "holdout.csv"),
        ("predict", "run", "holdout.csv", "--output", "predictions.csv"),
        ("audit", "run"),
        ("report", "run"),
    ):
        done = gdw(*command)
        assert done.exit_code == 0, done.output
    page = (here / "run/report.html").read_text(encoding="utf-8")
    assert "linear head on fake:texts" in page
    assert "--backbone fake:texts --epochs 4 --batch-size 16 --optimizer adamw" in page


def test_views_are_features_of_several_crops(
    gdw: Run, fakes: dict[str, Backbone], photos: tuple[str, ...]
) -> None:
    done = gdw("train", *photos, "--views", 3, "--epochs", 2, "--output", "run")
    assert done.exit_code == 0, done.output
    assert "model linear head on fake:images (3 views) (" in done.stdout
    run = load("run")
    assert run.encoder.input_shape == (3, 6)
    assert gdw("predict", "run", "checked", "--output", "p.csv").exit_code == 0


def test_what_is_chosen_for_the_data_is_written_down(
    gdw: Run, fakes: dict[str, Backbone], texts: tuple[str, ...], here: Path
) -> None:
    done = gdw("train", *texts, "--lr", 0.01, "--stop-after", 1, "--output", "run")
    assert "60 epochs (chosen for 60 texts), seed 0" in done.stdout, done.output
    training = yaml.safe_load((here / "run/config.yaml").read_text())["training"]
    assert (training["epochs"], training["optimizer"], training["lr"]) == (60, "adamw", 0.01)
    done = gdw("train", *texts, "--backbone", "none", "--stop-after", 1, "--output", "words")
    assert "30 epochs (chosen for 60 texts)" in done.stdout, done.output
    assert "mlp:256,dropout=0.5 (" in done.stdout
    assert gdw("train", *texts, "--epochs", 9, "--resume", "--output", "run").stderr.startswith(
        "gdw: run cannot be resumed with other settings: epochs (was 60, now 9)"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--backbone", "fake:texts"),
            "backbone 'fake:texts' takes texts, and the data are images: use",
        ),
        (
            ("--backbone", "fake:images", "--pretrained"),
            "leave pretrained (--pretrained) or backbone",
        ),
        (
            ("--backbone", "fake:images", "--weights", "w.pt"),
            "leave weights (--weights) or backbone",
        ),
        (
            ("--backbone", "fake:images", "--model", "resnet18"),
            "is linear or mlp:..., found 'resnet18'",
        ),
        (
            ("--backbone", "none", "--finetune", "lora"),
            "finetune (--finetune) is for a backbone, and",
        ),
        (
            ("--backbone", "none", "--views", 2),
            "views (--views) is for a backbone, and there is none: name",
        ),
        (
            ("--views", 2, "--finetune", "all"),
            "views are of features that do not change: leave views",
        ),
        (
            ("--backbone", "fake:images", "--augment", "standard"),
            "--augment changes pixels in each epoch, and features are computed once: leave",
        ),
    ],
)
def test_options_that_contradict_each_other(
    gdw: Run,
    fakes: dict[str, Backbone],
    photos: tuple[str, ...],
    words: tuple[object, ...],
    message: str,
) -> None:
    done = gdw("train", *photos, *words, "--output", "run")
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert message in line
    assert not Path("run").exists()


def test_a_backbone_does_not_count_words(
    gdw: Run, fakes: dict[str, Backbone], texts: tuple[str, ...]
) -> None:
    words = ("--backbone", "fake:texts", "--max-words", 9)
    done = gdw("train", *texts, *words, "--output", "run")
    assert done.exit_code == 2
    assert "--max-words counts words, and a backbone reads texts by tokens" in done.stderr


def test_a_backbone_for_a_table_is_refused(gdw: Run, fakes: dict[str, Backbone]) -> None:
    for words, message in (
        (
            ("--backbone", "fake:texts"),
            "backbone 'fake:texts' takes texts, and the data are a table",
        ),
        (
            ("--finetune", "all"),
            "finetune (--finetune) is for images or texts, and the data are a table",
        ),
    ):
        done = gdw(
            "train",
            "data.csv",
            "--label",
            "animal",
            "--meta",
            "clean.csv",
            *words,
            "--output",
            "run",
        )
        assert done.exit_code == 2
        assert message in done.stderr


def test_without_a_backbone_one_line_says_what_would_be_better(
    gdw: Run, texts: tuple[str, ...], here: Path
) -> None:
    done = gdw("train", *texts, "--stop-after", 1, "--output", "run")
    better = [
        line for line in done.stdout.splitlines() if "features of a pretrained network" in line
    ]
    assert len(better) == 1, done.output
    assert better[0].startswith(
        "learning from words (TF-IDF): features of a pretrained network are usually"
    )
    assert "pip install 'gdw[features]', then the same command" in better[0]
    quiet = gdw("train", *texts, "--backbone", "none", "--stop-after", 1, "--output", "words")
    assert "pretrained" not in quiet.output


def test_a_backbone_that_is_trained_is_built_again_from_the_run(
    gdw: Run, fakes: dict[str, Backbone], photos: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = nn.Sequential(nn.Flatten(), nn.LayerNorm(3 * 8 * 8), nn.Linear(3 * 8 * 8, 6))
    network.register_forward_pre_hook(lambda _, inputs: (inputs[0].float() / 255,))
    known = replace(fakes["fake:images"], module=network, architecture={"library": "fake"})
    fakes["fake:images"] = known
    monkeypatch.setattr("gdw.backbones.rebuilding.rebuilt", lambda _: copy.deepcopy(network))
    words = ("--finetune", "head+norm", "--stop-after", 1, "--output", "run")
    done = gdw("train", *photos, *words)
    assert done.exit_code == 0, done.output
    assert "backbone: fake:images (installed; --backbone names another)" in done.stdout
    # The scales and shifts, and the classifier of two classes.
    assert f"finetune head+norm (1,556 parameters, {2 * 192 + 2 * 6 + 2} trained)" in done.stdout
    fakes.clear()
    assert gdw("predict", "run", "checked", "--output", "p.csv").exit_code == 0
    assert load("run").model.head.out_features == 2

    def refuse(name: str) -> None:
        raise MissingDependencyError(f"{name} needs a package")

    monkeypatch.setattr("gdw.backbones.names.require_installed", refuse)
    monkeypatch.setattr(load("run").__class__, "read", None)
    for command in (
        ("evaluate", "run", "checked"),
        ("predict", "run", "checked", "--output", "q.csv"),
    ):
        done = gdw(*command)
        assert (done.exit_code, done.stderr) == (2, "gdw: fake:images needs a package\n")
