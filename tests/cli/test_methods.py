"""Every method of the registry from the command line, and their list."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gdw.reweight import METHODS
from gdw.train.config import NOT_IN_TRAINING
from tests.cli.conftest import Run
from tests.cli.test_mistakes import one_line


def test_methods_are_listed_by_family_without_importing_them(gdw: Run) -> None:
    shown = gdw("methods").output.splitlines()
    for family, members in METHODS.families().items():
        start = shown.index(f"{family}:")
        block = [line.split(maxsplit=1) for line in shown[start + 1 : start + 1 + len(members)]]
        assert [tuple(line) for line in block] == members
    code = "from gdw.cli import main; import sys; sys.argv = ['gdw', 'methods']\n" + (
        "try: main()\nexcept SystemExit: print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "False"


def test_help_of_train_names_every_method_by_family(gdw: Run) -> None:
    shown = " ".join(gdw("train", "--help").output.split())
    for family, members in METHODS.families().items():
        assert f"{family}: {', '.join(name for name, _ in members)}" in shown


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_described_with_all_options_that_can_be_set(gdw: Run, name: str) -> None:
    shown = gdw("methods", name).output
    assert shown.startswith(f"{name}: {METHODS.summary(name)}")
    assert ">>>" not in shown
    listed = [
        line.split(":")[0].strip()
        for line in shown.splitlines()
        if line[:3].strip() and line[:2] == "  "
    ]
    fields = METHODS[name].Options.model_fields
    assert listed == [option for option in fields if option not in NOT_IN_TRAINING]
    words = " ".join(shown.split())
    for option in listed:
        assert " ".join(str(fields[option].description).replace("`", "").split()) in words


@pytest.mark.parametrize("name", ["robust", "gdw"])
def test_a_description_fits_the_terminal_and_has_no_marks_of_code(
    gdw: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    shown = gdw("methods", name).output
    assert "`" not in shown
    assert max(map(len, shown.splitlines())) <= 70


def test_types_and_defaults_of_options(gdw: Run) -> None:
    shown = gdw("methods", "gdw").output
    assert "  clip: number, at least 0, default 0.2\n" in shown
    assert "  preset: paper|short, default paper\n" in shown
    assert "  zero_mean: true or false, default true\n" in shown
    assert "  weighting_network: default mlp\n" in shown
    assert "    short: weighting_network=none, outer_lr=1000.0, clip=1.0, min_weight=0.0\n" in shown
    assert shown.endswith("--method gdw --set hypergradient=head\n")
    assert "Presets" not in gdw("methods", "focal").output
    assert "It has no options." in gdw("methods", "plain").output
    one_line(gdw("methods", "fokal"), r"unknown method 'fokal'.*Did you mean 'focal'")


@pytest.mark.parametrize("method", ["forward", "glc", "co_teaching", "posterior", "fine_tune"])
def test_methods_that_prepare_or_keep_a_second_model(train: Run, method: str) -> None:
    done = train("--method", method)
    assert done.exit_code == 0, done.output


def test_an_option_of_a_method(train: Run) -> None:
    assert train("--method", "focal", "--set", "gamma=0.5").exit_code == 0
    wrong = train("--method", "focal", "--set", "gamma=-1", "--output", "other")
    one_line(wrong, r"method 'focal': gamma: .*greater than or equal to 0, found -1")


def test_an_option_of_another_method_says_whose_it_is(train: Run) -> None:
    one_line(
        train("--set", "outer_lr=3"), r"no option 'outer_lr'.*an option of the method 'gdw' or"
    )
    one_line(
        train("--outer-lr", 3),
        r"no option --outer-lr. It is an option of the method 'gdw' or .* --set outer_lr=",
    )


def test_clean_examples_are_not_added_twice(train: Run) -> None:
    done = train("--method", "plain_clean", "--add-clean")
    assert done.exit_code == 2
    assert (
        "'plain_clean' trains on the clean examples already and add_clean would count"
        in done.output
    )


@pytest.mark.parametrize(
    ("words", "method", "options", "note"),
    [
        (("--set", "preset=robust"), "robust", {}, "with preset 'robust' is now method 'robust'"),
        (("--method", "gdw", "--set", "preset=robust"), "robust", {}, "is now method 'robust'"),
        (("--method", "gdw", "--set", "preset=robust", "--set", "clip=0.3"), "gdw",
         {"preset": "short", "clip": 0.3}, "is now called 'short'"),
        (("--set", "preset=paper"), "gdw", {"preset": "paper"}, "'paper' is an option of method 'gdw'"),
    ],
    ids=["preset", "both", "bilevel", "paper"],
)  # fmt: skip
def test_spellings_of_the_first_version_work_with_a_note(
    train: Run,
    gdw: Run,
    here: Path,
    words: tuple[str, ...],
    method: str,
    options: object,
    note: str,
) -> None:
    done = train(*words, "--stop-after", 1)
    assert done.exit_code == 0, done.output
    [line] = [line for line in done.stderr.splitlines() if line.startswith("gdw: ")]
    assert line.startswith("gdw: note: ")
    assert note in line
    config = yaml.safe_load((here / "run" / "config.yaml").read_text())["training"]
    assert (config["method"], config["method_options"]) == (method, options)
    again = gdw("train", "--resume", "--output", "run")
    assert again.exit_code == 0, again.output
    assert "note" not in again.stderr


def test_a_run_folder_of_the_first_version_opens_silently_and_resumes(
    train: Run, gdw: Run, here: Path
) -> None:
    assert train("--stop-after", 1).exit_code == 0
    file = here / "run" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config |= {"format": 1, "gdw_version": "0.1.0"}
    config["training"] |= {"method": "gdw", "method_options": {"preset": "robust"}}
    file.write_text(yaml.safe_dump(config))
    done = gdw("train", "--resume", "--output", "run", "--set", "preset=robust")
    assert done.exit_code == 0, done.output
    assert "complete" not in done.output
    [line] = [line for line in done.stderr.splitlines() if "preset" in line]
    assert line == "gdw: note: method 'gdw' with preset 'robust' is now method 'robust'"
    shown = gdw("evaluate", "run", "test.csv")
    assert (shown.exit_code, shown.stderr) == (0, "")
