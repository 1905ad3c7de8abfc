"""A run folder opened again: by this version, and one that gdw 0.1.0 left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import gdw
from gdw.audit.issues import PROBLEM_COLUMNS
from gdw.cli.app import app
from gdw.errors import RunError
from gdw.report import write_report
from gdw.runs import Run, audit, evaluate, evaluate_file, load, predict
from gdw.runs.config_files import read_config_file

# Trained, audited and evaluated by gdw 0.1.0 on `animals.npz` and `test.npz`, by default options.
OLD = Path(__file__).parent / "run_of_0_1_0"

# Its list of issues counts rows from 1.
pytestmark = pytest.mark.filterwarnings("ignore:.*earlier version of gdw, which counted rows")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the old run, in the folder where it was started."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return load("run")


def test_an_old_run_opens_with_all_its_parts(run: Run) -> None:
    assert run.config.training.method == "robust"
    assert run.config.training.method_options == {}
    assert run.data_config.trusted == "checked"
    assert run.label_names == ("cat", "dog", "owl")
    assert run.schema.kind == "array"
    assert [record["epoch"] for record in run.history] == [1, 2, 3, 4, 5, 6]
    assert run.evidence is not None
    assert len(run.evidence) == 37
    assert run.class_weights is not None
    assert run.class_weights.weights.shape == (3, 3)
    assert run.audit is not None
    assert run.audit["issues"] == int(run.require("issues")["is_label_issue"].sum())
    assert run.noise_matrix is not None
    assert run.evaluation is not None
    assert run.evaluation["accuracy"] == 0.75
    assert not run.model.training


def test_an_old_run_gives_the_same_figures(run: Run) -> None:
    written = pd.read_csv("predictions.csv")
    frame = predict(run, run.read("test.npz", label=None))
    assert list(frame)[1:] == list(written)[1:]
    assert list(frame["row"]) == list(range(len(written)))
    assert list(frame["prediction"]) == list(written["prediction"])
    numbers = list(written)[2:]
    np.testing.assert_allclose(frame[numbers], written[numbers], rtol=2e-5)
    kept = run.evaluation
    assert kept is not None
    figures = evaluate(run, run.read("test.npz", label="y"))
    for name in ("accuracy", "balanced_accuracy", "nll", "ece", "recall"):
        assert figures[name] == pytest.approx(kept[name], rel=1e-5), name
    assert figures["support"] == kept["support"]
    assert figures["reliability"]["count"] == kept["reliability"]["count"]


def test_an_old_run_is_audited_again_alike(run: Run) -> None:
    found = audit(run)
    found.require_unedited()
    assert found.missing == ""
    frame, cells = found.issues(), found.noise_cells()
    written, matrix = run.require("issues"), run.require("noise_matrix")
    for name in ("where", "given_label", "suggested_label", "is_label_issue"):
        assert list(frame[name]) == list(written[name]), name
    np.testing.assert_allclose(frame["score"], written["score"], rtol=1e-5)
    summary = dict(run.require("audit"))
    found.write(frame, cells)
    known = [name for name in written if name not in PROBLEM_COLUMNS]
    pd.testing.assert_frame_equal(run.require("issues")[known], written[known])
    pd.testing.assert_frame_equal(run.require("noise_matrix"), matrix)
    again = run.require("audit")
    assert list(frame["index"]) == list(written["index"])
    for name in ("examples", "issues"):
        assert again[name] == summary[name], name
    # gdw 0.1.0 took the share of issues for the share of wrong labels; now the noise matrix estimates it.
    assert again["assessment"]["flagged_share"] == summary["estimated_wrong_share"]
    assert again["estimated_wrong_share"] == again["assessment"]["wrong_share"]
    assert again["assessment"]["level"] == "unproven"
    # Its test data are the first rows of the file; 0.1.0 did not look.
    (leak,) = again["data_problems"]["leaks"]
    assert leak == {
        "part": "test", "among": "training or verified data", "found": 20, "differ": 1, "examples": 20,
    }  # fmt: skip


def test_an_old_run_has_a_page(run: Run) -> None:
    page = write_report(run)
    assert page == Path("run/report.html")
    assert page.read_text().count("<svg") == 10  # each for wide and narrow screens


def test_opening_and_auditing_build_no_network(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    with pytest.raises(AssertionError, match="a network was built"):
        torch.nn.Linear(1, 1)
    for part in ("config", "schema", "history", "evidence", "issues", "noise_matrix", "audit",
                 "evaluation", "class_weights", "encoder"):  # fmt: skip
        assert getattr(run, part) is not None, part
    done = CliRunner().invoke(app, ["audit", "run"])
    assert done.exit_code == 0, done.output


def test_opening_imports_no_network(run: Run) -> None:
    code = (
        "import sys, gdw; run = gdw.load('run'); run.schema, run.evidence, run.config; "
        "from gdw.runs import audit; audit(run).issues(); "
        "print(*(name for name in sys.modules if name.startswith('gdw.models')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def newer_json(path: Path) -> None:
    content = {**json.loads(path.read_text()), "format": 99, "gdw_version": "9.9"}
    path.write_text(json.dumps(content))


def newer_yaml(path: Path) -> None:
    content = {**yaml.safe_load(path.read_text()), "format": 99, "gdw_version": "9.9"}
    path.write_text(yaml.safe_dump(content))


def newer_tensors(path: Path) -> None:
    save_file(load_file(path), path, metadata={"format": "99", "gdw_version": "9.9"})


FILES = [
    ("config.yaml", "config", newer_yaml),
    ("config.yaml", "data_config", newer_yaml),
    ("encoder/schema.json", "schema", newer_json),
    ("encoder/encoder.json", "encoder", newer_json),
    ("evidence.safetensors", "evidence", newer_tensors),
    ("audit.json", "audit", newer_json),
    ("evaluation.json", "evaluation", newer_json),
]


@pytest.mark.parametrize(("name", "part", "make_newer"), FILES)
def test_a_file_of_a_newer_version_says_which_and_what_to_do(
    run: Run, name: str, part: str, make_newer: Callable[[Path], None]
) -> None:
    make_newer(Path("run", name))
    message = rf"{Path(name).name} was written by gdw 9\.9 \(format 99\); this is gdw .* upgrade"
    with pytest.raises(RunError, match=message) as caught:
        getattr(run, part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "part"),
    [*((name, part) for name, part, _ in FILES), ("label_issues.csv", "issues"),
     ("noise_matrix.csv", "noise_matrix"), ("model.safetensors", "model")],
)  # fmt: skip
def test_a_damaged_file_is_one_line(run: Run, name: str, part: str) -> None:
    Path("run", name).write_bytes(b"\x80\x04[")
    with pytest.raises(RunError, match=rf"{Path(name).name} (is damaged|cannot be read)") as caught:
        getattr(run, part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("encoder/schema.json", "schema", "schema.json does not exist"),
        ("encoder/encoder.json", "encoder", "encoder.json"),
        ("model.safetensors", "model", "the run has not finished"),
    ],
)
def test_a_missing_file_that_every_run_has_is_one_line(
    run: Run, name: str, part: str, message: str
) -> None:
    Path("run", name).unlink()
    with pytest.raises(RunError, match=message) as caught:
        getattr(run, part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("history.jsonl", "history", "make it with gdw train --resume --output run"),
        ("evidence.safetensors", "evidence", "the run is not finished"),
        ("evidence.safetensors", "class_weights", "up to 512 classes"),
        ("label_issues.csv", "issues", "make it with gdw audit run"),
        ("noise_matrix.csv", "noise_matrix", "make it with gdw audit run"),
        ("audit.json", "audit", "make it with gdw audit run"),
        ("evaluation.json", "evaluation", "make it with gdw evaluate run DATA"),
    ],
)
def test_what_a_run_does_not_have_yet_is_none_and_required_by_name(
    run: Run, name: str, part: str, message: str
) -> None:
    Path("run", name).unlink()
    assert not getattr(run, part)
    with pytest.raises(RunError, match=rf"run has no .*{name}: .*{message}"):
        run.require(part)


def test_an_audit_reads_only_the_options_of_the_data(run: Run) -> None:
    path = Path("run/config.yaml")
    path.write_text(path.read_text().replace("epochs: 6", "epochs: six"))
    assert len(audit(run).issues()) == 37
    with pytest.raises(RunError, match=r"config.yaml is damaged: epochs"):
        _ = run.config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\n", "not the configuration of a gdw run: it has no 'format'"),
        (
            "method: plain\nepochs: 2\nbatch_size: 4\n",
            "config.yaml was written by gdw.Trainer, which keeps no data options: only .history",
        ),
        ("format: 1\ndata: {pth: x}\n", "config.yaml is damaged: .*pth"),
        ("format: 1\ndata: 3\n", "config.yaml is damaged"),
    ],
)
def test_a_configuration_that_is_none(run: Run, content: str, message: str) -> None:
    Path("run/config.yaml").write_text(content)
    with pytest.raises(RunError, match=message):
        _ = run.data_config


@pytest.mark.parametrize(("number", "name"), [(1, "cifar-resnet50"), (2, "resnet50")])
def test_resnet50_of_0_1_0_is_the_network_for_small_images(
    run: Run, number: int, name: str
) -> None:
    path = Path("run/config.yaml")
    path.write_text(f"format: {number}\nmodel: {{name: resnet50}}\n")
    assert run.model_config.name == name
    assert read_config_file(path)["model"]["name"] == name


def test_evidence_of_another_run(run: Run) -> None:
    schema = Path("run/encoder/schema.json")
    schema.write_text(schema.read_text().replace('"owl"', '"owl", "rat"'))
    with pytest.raises(RunError, match="belongs to another run: it has 3 classes, the run 4"):
        _ = run.evidence


def test_figures_that_were_read_before_are_read_again_after_a_change(run: Run) -> None:
    assert run.evaluation is not None
    figures = evaluate_file(run, "animals.npz", label="true")
    assert run.evaluation["data"] == "animals.npz"
    assert run.evaluation["accuracy"] == figures["accuracy"]
    assert run.evaluation["examples"] == 60


def test_a_run_is_opened_once(run: Run, tmp_path: Path) -> None:
    assert gdw.load(run) is run
    assert gdw.load(tmp_path / "run").path == tmp_path / "run"
    assert repr(run) == "Run('run', 3 classes, learning from 'X')"
    with pytest.raises(RunError, match="no run folder at nowhere"):
        gdw.load("nowhere")
