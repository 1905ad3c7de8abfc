"""YAML files of options: what is read as what, and the bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gdw.errors import ConfigError, GDWError, RunError
from gdw.experiments.cells import expand
from gdw.experiments.protocol import Protocol
from gdw.experiments.protocol_files import read_protocol
from gdw.files.yaml_files import parse_yaml, read_options
from gdw.runs.config import RunConfig
from gdw.runs.config_files import read_config_file
from gdw.train.run_folder import RunFolder

LEVELS = 9
NESTED = ", ".join(f"&a{k} [{','.join([f'*a{k - 1}'] * 9)}]" for k in range(1, LEVELS + 1))
BOMB = f"data: {{path: t.csv, label: [&a0 [x,x,x,x,x,x,x,x,x], {NESTED}]}}"
"""9 ** 10 values in 450 bytes."""


def test_aliases_cannot_multiply_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(BOMB)
    fault = "line 1: more than 200,000 values, with those that aliases repeat"
    for read in (read_config_file, read_protocol):
        with pytest.raises(ConfigError, match=f"config.yaml cannot be read as YAML: {fault}"):
            read(path)
    with pytest.raises(RunError, match=fault):
        _ = RunFolder(tmp_path).config


def test_aliases_and_merged_mappings_are_read() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, x: 5}\nd: [*a, *a]"
    assert parse_yaml(text) == yaml.safe_load(text)


def test_the_values_of_a_list_that_is_repeated_count_each_time() -> None:
    ten = "[&a [1, 1, 1, 1, 1, 1, 1, 1, 1], " + ", ".join(["*a"] * 19_998) + "]"
    assert len(parse_yaml(ten)) == 19_999
    with pytest.raises(ValueError, match="more than 200,000 values"):
        parse_yaml(ten.replace("]", ", *a, *a]").replace("1, *a, *a]", "1]"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("&a [1, *a]", "line 1: a value contains itself"),
        ("x: &a {y: {z: *a}}", "line 1: a value contains itself"),
        ("[" * 100_000, "line 1: nested more than 50 levels deep"),
        ("- " * 100_000, "line 1: nested more than 50 levels deep"),
        ("{x: " * 100_000, "line 1: nested more than 50 levels deep"),
        ("a" * (2 << 20), "expected at most 1,048,576 characters, found more"),
        ("x: " + "1" * 5000, "line 1: a number of 5,000 characters"),
        ("x: 1" + ":59" * 5000, "line 1: a number of 15,001 characters"),
        ("\nx: 0x" + "f" * 5000, "line 2: a number of 5,002 characters"),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' occurs twice: remove one"),
        ("yes: 1", "line 1: expected a name, found 'yes': put it in quotes"),
        ("{[1, 2]: 3}", "line 1: expected a name, found a list or mapping: put it in quotes"),
        ("!!python/object/apply:os.system [ls]", "line 1: could not determine a constructor for the tag"),
        ("!!binary aGFsbG8=", "line 1: could not determine a constructor for the tag '!!binary'"),
        ('!!int ""', "a value does not fit its tag"),
        ('x: "\\ud800"', r"line 1: '\\ud800' has half a character"),
        ("a: 1\n---\nb: 2", "line 2: expected a single document in the stream but found another"),
        ("a:\n\t- b", "line 2: "),
        ("a: 'b", "line 1: while scanning a quoted scalar found unexpected end of stream"),
        ("*x", "line 1: found undefined alias 'x'"),
        ("a\0b", "unacceptable character"),
    ],
)  # fmt: skip
def test_what_is_refused_is_one_line(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}") as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_dates_and_numbers() -> None:
    assert parse_yaml("a: 2024-01-31\nb: 2024-99-99\nc: 1e-3\nd: 0x1f\ne: 1:30") == {
        "a": "2024-01-31",
        "b": "2024-99-99",
        "c": "1e-3",
        "d": 31,
        "e": 90,
    }


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes("data:\n  label: größe".encode("cp1252"))
    with pytest.raises(
        ConfigError, match=r"line 2 has the byte 0xf6, which is not UTF-8: save the"
    ):
        read_options(path, "options")
    path.write_bytes("data: {label: größe}".encode("utf-8-sig"))
    assert read_options(path, "options") == {"data": {"label": "größe"}}
    with pytest.raises(ConfigError, match=r"no file .*none.yaml: check the path"):
        read_options(tmp_path / "none.yaml", "options")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        read_options(tmp_path, "options")
    path.write_text("- 1")
    with pytest.raises(ConfigError, match=r"c.yaml must hold options$"):
        read_options(path, "options")


def test_messages_cut_long_values() -> None:
    with pytest.raises(GDWError, match="label: ") as caught:
        RunConfig.parse({"data": {"path": "t.csv", "label": ["x"] * 100_000}})
    assert len(str(caught.value)) < 400
    with pytest.raises(GDWError, match="section 'data' must hold options") as caught:
        RunConfig.parse({"data": ["x"] * 100_000})
    assert len(str(caught.value)) < 400


def test_a_small_protocol_cannot_have_cells_without_end() -> None:
    entries = {f"x{k}": {} for k in range(100)}
    protocol = Protocol(
        name="p", base={}, data=entries, methods={f"m{k}": {"method": "gdw"} for k in range(100)},
        noise=[f"uniform:0.{k}" for k in range(100)], imbalance=[None], seeds=list(range(100)),
    )  # fmt: skip
    with pytest.raises(
        ConfigError, match="p has 100,000,000 cells: expected at most 100,000; split"
    ):
        expand(protocol)


def test_the_data_of_an_entry_must_be_options() -> None:
    protocol = Protocol(
        name="p", base={}, data={"x": {"data": 1.5}}, methods={"gdw": {}}, noise=[None],
        imbalance=[None], seeds=[0],
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"data\.x: data: "):
        protocol.check()
