"""Images that cannot be read, through every command; and predictions for images without classes."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import gdw
from gdw.cli.app import app

RUN = Path("run")


def _gdw(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red cats and green dogs, with a broken image in each folder, and a run that left them out."""
    home = tmp_path_factory.mktemp("skip")
    for part, count in (("photos", 20), ("verified", 10), ("test", 5), ("new", 2)):
        for k, name in enumerate(("cat", "dog")):
            folder = home / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.full((12, 10, 3), 20 * (i % 3), np.uint8)
                pixels[..., k] = 200
                Image.fromarray(pixels).save(folder / f"{name} {i}.png")
    for broken in (
        "photos/cat/cat 10.jpg",
        "photos/dog/dog.jpg",
        "verified/dog/d.jpg",
        "test/cat/a.jpg",
    ):
        (home / broken).write_bytes(b"no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        arguments = (
            "train photos --meta verified --test test --method plain --epochs 2 --image-size 12"
        )
        refused = _gdw(*arguments.split(), "--output", "run")
        done = _gdw(*arguments.split(), "--output", "run", "--skip-broken")
    assert refused.exit_code == 2
    assert "photos/cat/cat 10.jpg: cannot read the image" in refused.stderr
    assert "(2 images cannot be read): repair or remove it; --skip-broken" in refused.stderr
    assert done.exit_code == 0, done.output
    assert "40 training examples (image), 20 verified" in done.output
    assert "2 images cannot be read and are left out: photos/cat/cat 10.jpg (" in done.output
    assert "verified: 1 image cannot be read and is left out: verified/dog/d.jpg (" in done.output
    assert "the run folder has the list of all images left out: skipped_images.csv" in done.output
    return home


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_the_run_lists_what_it_left_out() -> None:
    listed = _lines(RUN / "skipped_images.csv")
    assert [(line["data"], line["row"], line["image"]) for line in listed] == [
        ("photos", "2", "cat/cat 10.jpg"),
        ("photos", "41", "dog/dog.jpg"),
        ("verified", "10", "dog/d.jpg"),
        ("test", "0", "cat/a.jpg"),
    ]
    assert all(line["reason"].startswith("it is none of JPEG") for line in listed)
    assert gdw.load(RUN).data_config.skip_broken


def test_the_audit_and_its_copy_go_with_it() -> None:
    done = _gdw(*["audit", "run", "--apply", "KEEP", "--output", "kept", "--force"])
    assert done.exit_code == 0, done.output
    assert "2 images that cannot be read were copied as they are; the original" in done.output
    assert Path("kept/cat/cat 10.jpg").read_bytes() == b"no image"
    issues = gdw.load(RUN).issues
    assert issues is not None
    assert len(issues) == 40
    assert "photos/dog/dog.jpg" not in set(issues["where"])


@pytest.mark.parametrize("command", ["evaluate run test", "report run --test test --force"])
def test_measuring_skips_as_training_did(command: str) -> None:
    done = _gdw(*command.split())
    assert done.exit_code == 0, done.output
    assert "test: 1 image cannot be read" in done.stderr or "note: 1 image cannot" in done.stderr
    evaluation = gdw.load(RUN).evaluation
    assert evaluation is not None
    assert evaluation["examples"] == 10
    refused = _gdw(*command.split(), "--no-skip-broken")
    assert refused.exit_code == 2
    assert "test/cat/a.jpg: cannot read the image" in refused.stderr


def test_images_in_any_folders_are_predicted() -> None:
    loose = Path("loose")
    for folder in ("train/a", "test/a", "deep/er"):
        (loose / folder).mkdir(parents=True)
    names = ["1, 2.png", "=cmd.png", "train/a/x.png", "test/a/x.png", "deep/er/ü.PNG"]
    for name in names:
        Image.new("RGB", (30, 20), "lime").save(loose / name)
    (loose / "notes.txt").write_text("x")
    (loose / "none").mkdir()
    done = _gdw(*["predict", "run", "loose", "--output", "loose.csv"])
    assert done.exit_code == 0, done.output
    assert "5 predictions written" in done.output
    assert "1 file is not used, because the suffix is not that of an image: 1 .txt" in done.stderr
    assert "1 folder is not used, because there are no images in it: 'none'" in done.stderr
    written = Path("loose.csv").read_text()
    assert all(name.split("/")[-1] in written for name in names)
    assert [line["path"] for line in _lines(Path("loose.csv"))][1:4] == [
        "'=cmd.png",
        "deep/er/ü.PNG",
        "test/a/x.png",
    ]
    alone = _gdw("predict", "run", "loose/1, 2.png", "--output", "one.csv")
    assert alone.exit_code == 0, alone.output
    assert len(_lines(Path("one.csv"))) == 1
    empty = _gdw("predict", "run", "loose/none", "--output", "no.csv")
    assert "the folder loose/none has no images: expected .jpg" in empty.stderr


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_broken_image_keeps_its_row_and_has_no_prediction(suffix: str) -> None:
    output = Path(f"p.{suffix}")
    done = _gdw("predict", "run", "test", "--output", str(output))
    assert done.exit_code == 0, done.output
    assert "10 predictions written: p." in done.output
    assert "1 more row has none, because the image cannot be read" in done.output
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}.get(
        suffix, partial(pd.read_json, lines=True)
    )
    frame = read(output)
    assert frame["row"].tolist() == list(range(11))
    assert frame["path"].tolist()[:2] == ["cat/a.jpg", "cat/cat 0.png"]
    missing = frame.isna()
    assert missing.loc[0, "prediction":].all()
    assert not missing.iloc[1:].any(axis=None)
    assert set(frame["prediction"].dropna()) <= {"cat", "dog"}
