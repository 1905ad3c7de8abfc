"""A run is continued with its own options and data, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gdw.data.encode.encoder import SETTINGS
from gdw.errors import RunError
from gdw.runs import DataConfig, ModelConfig, RunConfig, Training, load
from gdw.runs.prepared_data import FINGERPRINT
from gdw.runs.schema import SCHEMA, Schema
from gdw.train import RunFolder, TrainConfig

PARTS = (SETTINGS, SCHEMA, FINGERPRINT)


def configuration(
    data: DataConfig, *, model: dict[str, Any] | None = None, **training: Any
) -> RunConfig:
    quick: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 20,
        "accelerator": "cpu",
        "progress": "none",
    }
    return RunConfig(
        data,
        ModelConfig(**{"name": "mlp:4", **(model or {})}),
        TrainConfig(**{**quick, **training}),
    )


def run(training: Training, *, stop_after: int | None = None) -> bytes:
    """The weights it gives."""
    prepared = training.prepare()
    training.fit(prepared, training.build_model(prepared), stop_after=stop_after)
    return (training.output / "model.safetensors").read_bytes()


def again(config: RunConfig) -> Training:
    return Training(config, "run", resume=True)


@pytest.mark.parametrize(
    ("data_changes", "changes", "message"),
    [
        ({"label": "weight"}, {}, r"label \(was 'label', now 'weight'\)"),
        ({"noise": "uniform:0.4"}, {}, r"noise \(was None, now 'uniform:0.4'\)"),
        ({"add_clean": True}, {}, r"add_clean \(was False, now True\)"),
        ({"meta": "path.csv"}, {}, r"meta \(was 'meta.csv', now 'path.csv'\)"),
        ({"test": None}, {}, r"test \(was 'test.csv', now None\)"),
        ({}, {"model": {"name": "mlp:5"}}, r"name \(was 'mlp:4', now 'mlp:5'\)"),
        ({}, {"seed": 1}, r"seed \(was 0, now 1\)"),
        ({"limit": 50}, {"lr": 0.2}, r"limit \(was None, now 50\), lr \(was 0.1, now 0.2\)"),
    ],
)
def test_other_options_are_refused_by_name(
    data: DataConfig, data_changes: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    run(Training(configuration(data), "run"), stop_after=1)
    before = Path("run/history.jsonl").read_bytes()
    other = configuration(data.model_copy(update=data_changes), **changes)
    with pytest.raises(
        RunError, match=f"run cannot be resumed with other settings: {message}"
    ) as e:
        run(again(other))
    assert "\n" not in str(e.value)
    sections = {"data": data_changes, "model": changes.pop("model", {}), "training": changes}
    with pytest.raises(RunError, match=message):
        run(Training.resume("run", sections))
    assert Path("run/history.jsonl").read_bytes() == before


def test_the_same_options_in_other_words_go_on(data: DataConfig, tmp_path: Path) -> None:
    straight = run(Training(configuration(data), "straight"))
    run(Training(configuration(data), "run"), stop_after=1)
    other = data.model_copy(update={"path": str(tmp_path / "path.csv"), "meta": "./meta.csv"})
    assert run(again(configuration(other, progress="none", last_epochs=1))) == straight
    assert run(Training.resume("run")) == straight


@pytest.mark.parametrize(("name", "what"), [("path", "training"), ("meta", "clean")])
def test_files_that_changed_are_noticed(data: DataConfig, name: str, what: str) -> None:
    run(Training(configuration(data), "run"), stop_after=1)
    file = Path(f"{name}.csv")
    content = file.read_text()
    file.write_text(content.replace("cat", "dog", 1))
    message = f"run cannot be resumed: the {what} rows or labels are not those the run was started"
    with pytest.raises(RunError, match=message):
        run(Training.resume("run"))
    file.write_text(content)
    run(Training.resume("run"))


def test_a_damaged_or_newer_fingerprint(data: DataConfig) -> None:
    run(Training(configuration(data), "run"), stop_after=1)
    file = Path("run/encoder") / FINGERPRINT
    for content, message in (
        ("{", r"data.json is damaged"),
        ("[]", r"data.json is damaged"),
        (
            '{"format": 9, "sha256": {}}',
            r"data.json was written by a newer gdw \(format 9\); .* upgrade it",
        ),
    ):
        file.write_text(content)
        with pytest.raises(RunError, match=message):
            run(Training.resume("run"))


@pytest.mark.parametrize("lost", [*((name,) for name in PARTS), PARTS])
def test_what_a_killed_run_left_out_is_written_on_resume(
    data: DataConfig, lost: tuple[str, ...]
) -> None:
    straight = run(Training(configuration(data), "straight"))
    run(Training(configuration(data), "run"), stop_after=1)
    folder = Path("run/encoder")
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(PARTS) <= whole.keys()
    for name in lost:
        (folder / name).unlink()
    if lost == PARTS:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert run(Training.resume("run")) == straight
    assert {name: (folder / name).read_bytes() for name in PARTS} == {n: whole[n] for n in PARTS}
    assert load("run").schema.label_names == ("cat", "dog")


def test_the_encoder_of_a_run_is_never_fitted_anew(data: DataConfig) -> None:
    run(Training(configuration(data), "run"), stop_after=1)
    encoder = Path("run/encoder") / SETTINGS
    before = encoder.read_bytes()
    (encoder.parent / FINGERPRINT).unlink()
    whole = encoder.read_text()
    encoder.write_text(whole + " ")
    run(Training.resume("run"))
    assert encoder.read_bytes() == before + b" "
    assert (encoder.parent / FINGERPRINT).is_file()


def test_a_run_killed_before_its_first_checkpoint_starts(data: DataConfig) -> None:
    straight = run(Training(configuration(data), "straight"))
    RunFolder.create("run", configuration(data).plain())
    assert run(Training.resume("run")) == straight
    assert load("run").schema.kind == "table"


def test_a_run_killed_while_made_leaves_the_place_free(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Schema, folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Schema, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run(Training(configuration(data), "run"))
    assert (Path("run/encoder") / SETTINGS).exists()
    run(Training(configuration(data.model_copy(update={"features": ["weight"]})), "run"))
    assert load("run").schema.feature_columns == ("weight",)


def test_two_starts_at_once(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Training(configuration(data), "runs/a")
    prepared = first.prepare()
    with monkeypatch.context() as patch:
        patch.setattr("gdw.runs.training.prepare", None)
        for resume in (False, True):
            advice = "holds no run" if resume else "this process is writing runs/a already"
            with pytest.raises(RunError, match=advice):
                Training(configuration(data), "runs/a", resume=resume).prepare()
    first.fit(prepared, first.build_model(prepared), stop_after=1)
    assert not Path("runs/a/.lock").exists()
    again = Training(configuration(data), "runs/a", resume=True)
    again.prepare()
    with pytest.raises(RunError, match="this process is writing runs/a already"):
        Training.resume("runs/a").prepare()


def test_an_error_before_training_leaves_no_folder(data: DataConfig) -> None:
    wrong = data.model_copy(update={"label": "weights"})
    with pytest.raises(ValueError, match="Did you mean 'weight'"):
        Training(configuration(wrong), "runs/a").prepare()
    training = Training(configuration(data, model={"name": "mpl"}), "runs/a")
    with pytest.raises(ValueError, match="Did you mean 'mlp'"):
        training.build_model(training.prepare())
    assert not Path("runs").exists()
