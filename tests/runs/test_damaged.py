"""Whatever the bytes in a file of a run are: a result, or an error in one line."""

from __future__ import annotations

import copy
import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from gdw.errors import GDWError, RunError
from gdw.report.performance import class_rows, performance
from gdw.report.plots import plot_history, plot_issues_by_class, plot_reliability
from gdw.runs import DataConfig, Training, audit, evaluate_file, load, predict
from gdw.train.resuming import DamagedCheckpointWarning
from tests.runs.test_continuing import configuration, run

TIMES = 6
STRANGE = [
    None, -1, 0, 3.5, 1e308, True, "", "x", [], {}, [1], ["a"], {"a": 1}, 10**30, float("nan"), [[1, 2], [3]],
    "\0",
]  # fmt: skip
WHOLE = [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[1]", b"0", b"NaN", b'{"a":' + b"[" * 100_000]


def _cut(content: bytes, rng: random.Random) -> bytes:
    """`content` with flipped, missing or additional bytes, or something else."""
    place = rng.randrange(len(content))
    flipped = bytes([content[place] ^ 1 << rng.randrange(8)])
    return rng.choice(
        [
            content[:place],
            content[:place] + flipped + content[place + 1 :],
            content[:place] + rng.randbytes(3) + content[place:],
            content[:place] + content[place + rng.randrange(1, 30) :],
            rng.choice(WHOLE),
        ]
    )


def _places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        tree.items() if isinstance(tree, dict) else enumerate(tree) if type(tree) is list else ()
    )
    return [path, *(place for key, value in items for place in _places(value, (*path, key)))]


def _altered(tree: Any, rng: random.Random) -> Any:
    """`tree` with one value replaced or left out."""
    *path, last = rng.choice(_places(tree)[1:])
    tree = node = copy.deepcopy(tree)
    for key in path:
        node = node[key]
    if isinstance(node, dict) and rng.random() < 0.3:
        del node[last]
    elif isinstance(node[last], torch.Tensor) and rng.random() < 0.7:
        node[last] = torch.cat([node[last].reshape(-1)] * 2)
    else:
        node[last] = rng.choice(STRANGE)
    return tree


def _json(content: bytes, rng: random.Random) -> bytes:
    return json.dumps(_altered(json.loads(content), rng)).encode()


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines()
    number = rng.randrange(len(lines))
    return b"\n".join([*lines[:number], _json(lines[number], rng), *lines[number + 1 :]])


def _yaml(content: bytes, rng: random.Random) -> bytes:
    return yaml.safe_dump(_altered(yaml.safe_load(content), rng)).encode()


def _arrays(content: bytes, rng: random.Random) -> bytes:
    arrays = load_arrays(content)
    size = int.from_bytes(content[:8], "little")
    name = rng.choice(sorted(arrays))
    value = arrays.pop(name)
    others = [value.astype("f8"), value.reshape(-1)[:1], np.repeat(value, 2), value * 0 - 7, None]
    changed = rng.choice(others)
    kept = arrays if changed is None else {**arrays, name: changed}
    return save_arrays(kept, metadata=json.loads(content[8 : 8 + size]).get("__metadata__"))


def _cells(content: bytes, rng: random.Random) -> bytes:
    lines = content.decode().splitlines()
    number = rng.randrange(min(4, len(lines)))
    cells = lines[number].split(",")
    cells[rng.randrange(len(cells))] = rng.choice(["", "x", "-1", "1e400", "nan", '"', "a,b"])
    lines[number] = ",".join(cells)
    return "\n".join(lines).encode()


def _show(folder: str) -> None:
    """What a report reads."""
    opened = load(folder)
    class_rows(opened, performance(opened), None)
    for part in ("config", "class_weights", "noise_matrix"):
        getattr(opened, part)
    for plot in (plot_history, plot_issues_by_class, plot_reliability):
        plot(opened)  # type: ignore[operator]


def _predict(folder: str) -> None:
    opened = load(folder)
    predict(opened, opened.read("test.csv", label=None))


def _audit(folder: str) -> None:
    made = audit(folder)
    made.require_unedited()
    made.write(made.issues(), made.noise_cells())


def _read_issues(folder: str) -> None:
    audit(folder).edited_issues(Path(folder, "label_issues.csv"))
    assert load(folder).issues is not None


Change = Callable[[bytes, random.Random], bytes]

FINISHED: dict[str, tuple[Change, Callable[[str], None]]] = {
    "config.yaml": (_yaml, _predict),
    "history.jsonl": (_lines, _show),
    "evaluation.json": (_json, _show),
    "audit.json": (_json, _show),
    "noise_matrix.csv": (_cells, _show),
    "label_issues.csv": (_cells, _read_issues),
    "evidence.safetensors": (_arrays, _audit),
    "model.safetensors": (_arrays, _predict),
    "encoder/encoder.json": (_json, _predict),
    "encoder/schema.json": (_json, _predict),
}
STOPPED: dict[str, Change] = {
    "config.yaml": _yaml, "history.jsonl": _lines, "encoder/data.json": _json, "encoder/schema.json": _json
}  # fmt: skip


def _damage(name: str, change: Change, use: Callable[[str], object], origin: str) -> None:
    """Use the run `origin` with altered versions of its file `name`."""
    content = Path(origin, name).read_bytes()
    for number in range(TIMES):
        rng = random.Random(f"{name} {number}")
        shutil.rmtree("damaged", ignore_errors=True)
        shutil.copytree(origin, "damaged")
        Path("damaged", name).write_bytes((change if number % 2 else _cut)(content, rng))
        try:
            use("damaged")
        except GDWError as error:
            _require_one_line(error)


def _require_one_line(error: GDWError) -> None:
    assert len(str(error).splitlines()) == 1


def _resume(folder: str) -> None:
    run(Training.resume(folder))


@pytest.fixture
def finished(data: DataConfig) -> str:
    run(Training(configuration(data), "run"))
    made = audit("run")
    made.write(made.issues(), made.noise_cells())
    evaluate_file(load("run"), "test.csv")
    for _, use in FINISHED.values():
        use("run")
    return "run"


def test_files_of_a_finished_run(finished: str) -> None:
    for name, (change, use) in FINISHED.items():
        _damage(name, change, use, finished)


def test_files_of_a_run_that_is_continued(data: DataConfig) -> None:
    run(Training(configuration(data), "run"), stop_after=1)
    for name, change in STOPPED.items():
        _damage(name, change, _resume, "run")


@pytest.mark.parametrize("method", ["plain", "mwn"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(data: DataConfig, method: str) -> None:
    settings = configuration(data, method=method, epochs=3)
    straight = run(Training(settings, "straight"))
    run(Training(settings, "run"), stop_after=2)
    newest = sorted(Path("run/checkpoints").iterdir())[-1]
    state = torch.load(newest, weights_only=True)
    # What is altered here can be told from the form alone.
    parts = ("position", "optimizer", "scheduler", "model", "reweighter")
    for number in range(TIMES):
        rng = random.Random(number)
        shutil.rmtree("damaged", ignore_errors=True)
        shutil.copytree("run", "damaged")
        part = rng.choice(parts)
        torch.save({**state, part: rng.choice(STRANGE)}, Path("damaged/checkpoints", newest.name))
        with pytest.warns(DamagedCheckpointWarning, match="going back to the one before"):
            assert run(Training.resume("damaged")) == straight, (part, number)
    for number in range(TIMES):
        rng = random.Random(number)
        shutil.rmtree("damaged", ignore_errors=True)
        shutil.copytree("run", "damaged")
        torch.save(_altered(state, rng), Path("damaged/checkpoints", newest.name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedCheckpointWarning)
            try:
                _resume("damaged")
            except GDWError as error:
                _require_one_line(error)


def test_no_sound_checkpoint_is_one_line(data: DataConfig) -> None:
    run(Training(configuration(data), "run"), stop_after=1)
    for path in Path("run/checkpoints").iterdir():
        torch.save({**torch.load(path, weights_only=True), "optimizer": None}, path)
    with pytest.warns(DamagedCheckpointWarning), pytest.raises(RunError, match="no checkpoint in"):
        _resume("run")
