"""Two processes against one: the same steps, the same figures, the same decisions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from gdw.audit import Evidence
from gdw.errors import ConfigError
from gdw.train import RunFolder, Trainer, evaluate
from tests.train.evidence_of_two import CASES, record
from tests.train.small import assert_same, config, data, network
from tests.train.two_processes import METHODS, fit

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs the gloo backend")


def _run(*arguments: str) -> str:
    """What the command wrote on standard error."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the report of `two_processes.py` under torchrun."""
    folder = tmp_path_factory.mktemp("pair")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    _run(*torchrun, "-m", "tests.train.two_processes", str(folder))
    report = json.loads((folder / "report.json").read_text())
    assert report["size"] == 2
    return folder, report


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_take_the_steps_of_one(
    pair: tuple[Path, dict[str, Any]], method: str
) -> None:
    folder, report = pair
    _, model, result = fit(method)
    loaded = network(plain=True, seed=8).double()
    RunFolder.open(folder / method).load_model(loaded)
    assert_same(loaded, model, rtol=1e-10, atol=1e-10)
    for theirs, ours in zip(report[method], result.history, strict=True):
        for name in ours.keys() - {"seconds", "examples_per_second"}:
            expected = pytest.approx(ours[name], rel=1e-9) if ours[name] is not None else None
            # Without an agreement the mean hypergradient loss and weights would be those of half a batch.
            assert theirs[name] == expected, name


@pytest.mark.slow
def test_all_processes_start_from_the_weights_of_the_first(
    pair: tuple[Path, dict[str, Any]],
) -> None:
    _, report = pair
    expected = network(plain=True)
    fit("plain", model=expected)
    for weights in report["weights"]:
        torch.testing.assert_close(
            torch.tensor(weights, dtype=torch.float64), expected[0].weight.detach()
        )


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_step(
    pair: tuple[Path, dict[str, Any]],
) -> None:
    _, report = pair
    assert report["stopped"] == [[True, 1, 6], [True, 1, 6]]
    assert report["resumed"] == [True, True]


@pytest.mark.slow
def test_processes_agree_on_batchnorms_statistics(pair: tuple[Path, dict[str, Any]]) -> None:
    _, report = pair
    assert report["statistics"][0] == report["statistics"][1]


@pytest.mark.slow
def test_processes_prepare_one_set_of_labels(pair: tuple[Path, dict[str, Any]]) -> None:
    _, report = pair
    first, second = report["labels"]
    assert first == second


@pytest.mark.slow
def test_what_fails_on_one_process_fails_on_both(pair: tuple[Path, dict[str, Any]]) -> None:
    _, report = pair
    for message in report["refused"]:
        assert message.startswith("RunError:")
        assert "already holds a run" in message
    first, second = report["unusable"]
    assert second.startswith("DataError: train: row 20 holds nan in column 0 in its inputs")
    assert first == second.replace("DataError", "RunError")
    for message in report["diverged"]:
        assert message.startswith(
            "DivergenceError: training stopped: the loss is not finite in epoch 1, step 1. train: row "
        )


@pytest.mark.slow
def test_a_process_without_a_share_agrees_on_the_figures(pair: tuple[Path, dict[str, Any]]) -> None:
    _, report = pair
    expected = evaluate(network(plain=True), data(1))
    assert report["tiny"] == [expected, expected]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_evidence_of_two_processes_is_that_of_one(
    pair: tuple[Path, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    folder, _ = pair
    _, single = record(name, output=tmp_path / "alone")
    both = Evidence.load(folder / f"{name}.safetensors")
    for field, expected in vars(single).items():
        found = getattr(both, field)
        if expected is None:
            assert found is None
        else:
            np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=field)


@pytest.mark.slow
def test_a_script_that_asks_for_two_devices_gets_them(tmp_path: Path) -> None:
    said = _run("-m", "tests.train.launched", str(tmp_path))
    assert "Initializing distributed" not in said
    assert "-----" not in said
    values = [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)]
    assert values[0] == values[1]


def test_torchrun_decides_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigError, match=r"devices \* nodes = 3, but torchrun started 4 processes"
    ):
        Trainer(config(devices=3)).launch()
