"""The feature store on disk: kills, several processes, damage, places that cannot be written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gdw.data import Encoder, fit_encoder, load
from gdw.data.encode.backbone import raw_examples
from gdw.data.features import extraction, store
from gdw.data.features.cache_folder import cache_folder, features_folder
from gdw.data.features.reporting import Reporter
from gdw.data.features.shard import Shard
from gdw.data.source import Source
from gdw.errors import OutputError
from tests.data.fake_backbone import Network, image_backbone
from tests.data.files import image_folder
from tests.data.slow_extraction import CHANGED, set_small
from tests.data.test_features import expected, network, picture

MANY = 60
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches and shards; what `set_small` changes is restored."""
    for module, name in CHANGED:
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(store, "_told", set())
    set_small()


@pytest.fixture
def photos(tmp_path: Path) -> Source:
    names = {f"{'ab'[i % 2]}/{i:02}.png": picture(i) for i in range(MANY)}
    return load(image_folder(tmp_path / "photos", names), label="label")


def slow_extraction(photos: Source) -> subprocess.Popen[str]:
    """Another process that computes the same features."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.data.slow_extraction", str(photos.rows.folder)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for_shards(count: int) -> None:
    until = time.monotonic() + 60
    while len(shards()) < count:
        assert time.monotonic() < until, "the other process computes nothing"
        time.sleep(0.01)


def shards() -> list[Path]:
    return sorted(features_folder().glob("*/*.npy"))


def fitted(photos: Source, progress: Any = "none") -> tuple[Encoder, Network]:
    backbone = image_backbone()
    return fit_encoder(photos, backbone=backbone, progress=progress), network(backbone)


def require_right(photos: Source, encoder: Encoder) -> None:
    found = encoder.encode(photos)[np.arange(len(photos))]
    torch.testing.assert_close(found, expected(photos, image_backbone()), rtol=1e-4, atol=1e-4)


def test_after_a_kill_only_the_rest_is_computed(photos: Source) -> None:
    other = slow_extraction(photos)
    wait_for_shards(2)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    kept = sum(Shard.open(path).shape[0] for path in shards())
    assert 8 <= kept < MANY
    encoder, work = fitted(photos)
    assert work.computed == MANY - kept
    require_right(photos, encoder)


def test_two_processes_share_the_work(photos: Source) -> None:
    other = slow_extraction(photos)
    wait_for_shards(2)
    encoder, work = fitted(photos)
    done, errors = other.communicate(timeout=60)
    assert other.returncode == 0, errors
    assert 0 < work.computed < MANY
    assert int(done) < MANY, "the other process takes what this one has computed"
    require_right(photos, encoder)
    assert fitted(photos)[1].computed == 0


def test_an_interrupted_extraction_keeps_what_is_done(
    photos: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = image_backbone()

    class Interrupted(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.computed >= 30:
                raise KeyboardInterrupt
            return super().forward(x)

    backbone.module.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        fit_encoder(photos, backbone=backbone, progress="lines")
    *_, last = capsys.readouterr().err.splitlines()
    done = int(last.split()[4])
    assert last == (
        f"stopped: the features of {done} of 60 images are kept in the cache; "
        "the same command goes on from there"
    )
    encoder, work = fitted(photos)
    assert work.computed == MANY - done <= 32
    require_right(photos, encoder)


@pytest.mark.parametrize("damage", ["features", "index", "end", "empty", "width"])
def test_a_damaged_file_is_computed_anew_with_a_word(
    photos: Source, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(photos)
    path = shards()[3]
    rows = Shard.open(path).shape[0]
    content = bytearray(path.read_bytes())
    if damage == "width":
        known = set(shards())
        other = image_backbone("12" * 32, width=7)
        fit_encoder(photos.select(np.arange(rows)), backbone=other, progress="none")
        content = bytearray((set(shards()) - known).pop().read_bytes())
    elif damage in ("features", "index"):
        content[200 if damage == "features" else -40] ^= 1
    else:
        del content[0 if damage == "empty" else -30 :]
    path.write_bytes(content)
    encoder, work = fitted(photos, "lines")
    assert work.computed == rows
    require_right(photos, encoder)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert line.startswith(f"gdw: note: {path} is damaged (")
    assert line.endswith("): its features are computed anew")
    assert fitted(photos)[1].computed == 0


def test_without_a_place_for_the_cache_features_are_kept_for_the_command(
    photos: Source, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos.rows.folder / "file").write_text("no folder")
    monkeypatch.setenv("GDW_CACHE", str(photos.rows.folder / "file"))
    encoder, work = fitted(photos, "lines")
    require_right(photos, encoder)
    assert work.computed == MANY
    (note,) = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("gdw: note")
    ]
    assert (
        "Not a directory: features are kept for this command only; set GDW_CACHE to a folder"
        in note
    )


def test_a_cache_that_is_read_only_is_read(
    photos: Source, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(photos.select(np.arange(40)))
    known = shards()
    monkeypatch.setattr(store.os, "access", lambda folder, mode: False)
    encoder, work = fitted(photos, "lines")
    assert work.computed == MANY - 40
    require_right(photos, encoder)
    assert shards() == known
    assert "Permission denied: features are kept for this command only" in capsys.readouterr().err


def test_a_disk_that_is_or_becomes_full(
    photos: Source, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = store.write_shard

    def full(*arguments: Any) -> None:
        if len(shards()) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(*arguments)

    monkeypatch.setattr(store, "write_shard", full)
    encoder, _ = fitted(photos, "lines")
    require_right(photos, encoder)
    assert (
        "No space left on device: features are kept for this command only; make room (gdw cache"
        in (capsys.readouterr().err)
    )
    assert len(shards()) == 3
    monkeypatch.setattr(store, "memory_share", lambda: 100)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    backbone = image_backbone("12" * 32)
    with pytest.raises(
        OutputError, match=r"the features need 1\.4 kB, too much for the memory: make"
    ):
        fit_encoder(photos, backbone=backbone, progress="none")
    assert network(backbone).computed == 0, "it is refused before long work"


def test_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GDW_CACHE", "~/here")
    assert cache_folder() == Path.home() / "here"
    monkeypatch.delenv("GDW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "gdw"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "gdw"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "gdw"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "gdw"


def test_processes_that_train_together_begin_apart_and_write_often(
    photos: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "ROWS", 2000)
    for name, value in (("WORLD_SIZE", "3"), ("LOCAL_WORLD_SIZE", "3"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    encoder, work = fitted(photos)
    require_right(photos, encoder)
    assert work.computed == MANY
    assert len(shards()) == MANY // 2, "60 // (8 * 3) is the size of a batch"
    keys = extraction.Request(raw_examples(photos, {})).keys(Reporter()).ravel()
    assert extraction._once(np.arange(MANY), keys)[0] == MANY // 3
