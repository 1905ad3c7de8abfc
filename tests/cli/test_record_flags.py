"""Every option of the records is a flag of `gdw train`, described once, in the record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
import yaml
from pydantic import Field
from typer.testing import CliRunner

from gdw.cli.record_flags import MOST_USED, add_record_flags
from gdw.cli.train import RECORDS
from gdw.cli.train import train as train_command
from gdw.options import Group, Options
from tests.cli.conftest import Run

FIELDS = [
    pytest.param(record, name, id=f"{section}.{name}")
    for section, record in RECORDS.items()
    for name in record.model_fields
]


def command_of(function: Any) -> Any:
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return typer.main.get_command(app)


def parameters(function: Any) -> dict[str, Any]:
    return {parameter.name: parameter for parameter in command_of(function).params}


@pytest.mark.parametrize(("record", "name"), FIELDS)
def test_every_field_has_a_flag_with_its_description(record: type[Options], name: str) -> None:
    field, flag = record.model_fields[name], parameters(train_command)[name]
    assert field.description
    assert field.description.endswith(".")
    assert flag.help == field.description
    usual = f"--{name.replace('_', '-')}"
    assert flag.opts == {"path": ["path"], "name": ["--model"], "method_options": ["--set"]}.get(
        name, [usual]
    )
    if field.annotation is bool:
        assert flag.secondary_opts == [f"--no-{name.replace('_', '-')}"]


class First(Options):
    group = Group("One panel")

    size: int = Field(default=3, description="How large.")
    kind: Literal["round", "square"] | None = Field(default=None, description="Which form.")


class Second(Options):
    group = Group("Another panel")

    rate: Annotated[float, Field(gt=0), Group("One panel")] = Field(
        default=0.5, description="How fast."
    )
    hidden_sizes: list[int] | None = Field(default=None, description="Sizes.")
    quiet: bool = Field(default=False, description="Say nothing.")
    place: str = Field(description="Where.")


def _command() -> tuple[Any, dict[str, Any]]:
    values: dict[str, Any] = {}

    @add_record_flags((First, Second), first=("quiet",), names={"place": "PLACE"})
    def command(
        own: Annotated[int, typer.Option(rich_help_panel="Own")] = 1, **options: Any
    ) -> None:
        values.update(options, own=own)

    return command, values


def test_a_field_of_a_record_is_a_flag_without_any_other_line() -> None:
    command, values = _command()
    words = ["here", "--rate", "2", "--hidden-sizes", "3", "--hidden-sizes", "4", "--kind", "round"]
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert values == {
        "own": 1, "size": "3", "kind": "round", "rate": "2", "hidden_sizes": ["3", "4"], "quiet": False,
        "place": "here",
    }  # fmt: skip
    found = parameters(command)
    assert found["kind"].metavar == "round|square"
    assert {name: flag.rich_help_panel for name, flag in found.items() if name != "place"} == {
        "quiet": MOST_USED, "own": "Own", "size": "One panel", "kind": "One panel",
        "rate": "One panel", "hidden_sizes": "Another panel",
    }  # fmt: skip
    assert next(name for name in found if name != "place") == "quiet"


def test_two_fields_of_one_name_are_refused() -> None:
    class Twice(Options):
        size: int = 1

    def command(**options: Any) -> None: ...

    with pytest.raises(TypeError, match=r"Twice.size: two options of this name"):
        add_record_flags((First, Twice))(command)


def test_help_shows_the_ten_most_used_first_then_the_panels(gdw: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = gdw("train", "--help").output
    panels = [line[:-1] for line in shown.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert panels == [
        "Examples", "Arguments", "Most used", "Your data", "Verified examples", "Method", "Training",
        "Model", "Run folder and progress", "Machine", "Experiments", "Help",
    ]  # fmt: skip
    flags = [
        name for name, p in parameters(train_command).items() if p.rich_help_panel == MOST_USED
    ]
    assert len(flags) == 10
    assert "--schedule cosine|constant" in shown
    assert "[default: chosen for the data]" in " ".join(shown.split())


def test_lists_are_separated_by_commas_or_repeated(train: Run, here: Path) -> None:
    for words in (("--drop", "note,ears"), ("--drop", "note", "--drop", "ears")):
        done = train(*words, "--output", "-".join(words))
        assert done.exit_code == 0, done.output
        config = yaml.safe_load((here / "-".join(words) / "config.yaml").read_text())
        assert config["data"]["drop"] == ["note", "ears"]


def test_the_label_column_cannot_be_dropped(train: Run) -> None:
    done = train("--drop", "note,animal")
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(
        "gdw: 'animal' is the label column, which is never learned from: take it out of --drop"
    )


def test_names_with_commas_can_be_typed(train: Run, here: Path) -> None:
    rows = (here / "data.csv").read_text().splitlines()
    renamed = "\n".join([rows[0].replace("ears", '"ears, left"'), *rows[1:]])
    assert "ears, left" in renamed
    (here / "commas.csv").write_text(renamed)
    typed = ("ears, left", 'note,"ears, left"')
    for number, words in enumerate(typed):
        done = train("--drop", words, "--output", f"run{number}", data="commas.csv")
        assert done.exit_code == 0, done.output
        schema = json.loads((here / f"run{number}" / "encoder" / "schema.json").read_text())
        assert "ears, left" not in schema["feature_columns"]
        assert schema["unused"]["ears, left"] == "left out by --drop"
    assert "note" not in schema


def test_an_empty_argument_is_refused(train: Run) -> None:
    for words in (
        ("--output", ""),
        ("--output=",),
        ("--label", ""),
        ("--output", "  "),
        ("--test= ",),
    ):
        done = train(*words)
        assert done.exit_code == 2
        assert done.stderr == f"gdw: {words[0].strip('= ')}: expected a value, found an empty one\n"


def test_cells_may_be_separated_by_spaces(train: Run, here: Path) -> None:
    rows = [f"{i % 7} {i % 5} {'cat' if i % 7 < 3 else 'dog'}" for i in range(60)]
    (here / "d.csv").write_text("\n".join(["x y animal", *rows]))
    (here / "m.csv").write_text("\n".join(["x y animal", *rows[:20]]))
    done = train("--delimiter", " ", data="d.csv", meta="m.csv")
    assert done.exit_code == 0, done.output


def test_a_flag_takes_back_what_the_configuration_file_says(train: Run, here: Path) -> None:
    file = {"data": {"add_clean": True}, "training": {"label_smoothing": 0.1, "epochs": 9}}
    (here / "c.yaml").write_text(yaml.safe_dump(file))
    done = train("--config", "c.yaml", "--no-add-clean", "--epochs", 80, "--stop-after", 1)
    assert done.exit_code == 0, done.output
    config = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert config["data"]["add_clean"] is False
    # 80 is the default, and given here; nothing is said about label_smoothing.
    assert (config["training"]["epochs"], config["training"]["label_smoothing"]) == (80, 0.1)
