"""The page of a run, from whatever files the run has."""

from __future__ import annotations

import html
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from gdw.audit.audit_files import read_issues
from gdw.cli.app import app
from gdw.errors import ConfigError, RunError
from gdw.report import write_report
from gdw.runs.evaluating import reliability
from tests.cli.conftest import write_table
from tests.data.files import image_folder, png
from tests.report import fabricated as made

HOSTILE = "<script>alert(1)</script> \"'$x$"


class _Text(HTMLParser):
    """The words of a page, without its styles and scripts, and the names of its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self._quiet = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._quiet = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.words.append(data)


def read(page: Path) -> tuple[str, list[str]]:
    parser = _Text()
    parser.feed(page.read_text(encoding="utf-8"))
    return " ".join(" ".join(parser.words).split()), parser.tags


def test_a_run_without_audit_test_or_evidence_says_what_is_missing(tmp_path: Path) -> None:
    run = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv", test=False)
    text, _ = read(write_report(run))
    assert "The labels have not been checked yet." in text
    assert "The model has not been measured on test data yet." in text
    assert "This run has no weights for labels and classes" in text
    assert "There is no list yet" in text
    assert f"gdw audit {run}" in text
    assert "--test TEST_DATA" in text


def test_everything_of_a_whole_run_is_on_the_page_and_in_its_own_file(tmp_path: Path) -> None:
    names = ("cat", "dog", HOSTILE)
    data = image_folder(tmp_path / "images", {f"cat/{i}.png": png((i, 0, 0)) for i in range(3)})
    columns = {"kind": "image", "columns": ("image",)}
    run = made.run_folder(tmp_path / "run", names, data=str(data), **columns)
    places = [str(data / "cat" / f"{i}.png") for i in range(3)]
    made.add_issues(run, [(place, "cat", HOSTILE, 0.9 - i / 10) for i, place in enumerate(places)])
    made.add_noise_matrix(run, names, made.noise(3))
    made.add_audit(run, names, 300)
    made.add_class_weights(run, np.full((3, 3), 0.4))
    made.add_evaluation(run, names)
    other = made.run_folder(tmp_path / "plain", names, data=str(data), **columns)
    made.add_evaluation(other, names, accuracy=0.701)
    page = write_report(run, baseline=other)
    text, tags = read(page)
    assert page == run / "report.html"
    assert "About 23.4% of the 300 training examples probably have a wrong label" in text
    assert "81.2% of the test examples correctly, the baseline 70.1%" in text
    assert HOSTILE in text
    assert tags.count("script") == 1
    assert tags.count("svg") == 10
    assert tags.count("img") == 3
    written = page.read_text(encoding="utf-8")
    # `xmlns` addresses are names: nothing is fetched.
    assert not re.search(r'(?:src|href)="(?!data:|#)', written)
    assert "gdw report RUN --test" not in text


def test_many_classes_are_summed_up(tmp_path: Path) -> None:
    names = [f"k{k}" for k in range(2000)]
    run = made.run_folder(tmp_path / "run", names, data="gone.csv")
    made.add_issues(run, [(f"row {i} of gone.csv", "k1", "k2", 0.9) for i in range(1, 500)])
    made.add_noise_matrix(run, names[:60], made.noise(60))
    made.add_audit(run, names, 4000)
    page = write_report(run)
    text, tags = read(page)
    assert "1,900 others are left out" in text
    assert "The first 200 of 499 training examples" in text
    assert tags.count("tr") < 400
    assert page.stat().st_size < 1_000_000
    assert "The examples themselves cannot be shown" in text


@pytest.mark.parametrize(
    ("level", "first", "command"),
    [
        (
            "supported",
            "The verified examples support the suggested labels: the reason",
            "--apply RELABEL",
        ),
        ("unproven", "Check them before you change a label: the reason", "--apply KEEP"),
        (None, "an earlier version of gdw made this audit", "--apply KEEP"),
        (
            "poor",
            "Do not use this list of wrong labels yet: the reason for poor.",
            "--epochs EPOCHS",
        ),
    ],
)
def test_the_page_recommends_what_the_audit_supports(
    tmp_path: Path, level: str | None, first: str, command: str
) -> None:
    run = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv")
    right = [(f"row {k} of gone.csv", "cat", "cat", 0.1) for k in range(2, 6)]
    made.add_issues(run, [("row 1 of gone.csv", "cat", "dog", 0.9), *right])
    made.add_audit(run, ("cat", "dog"), 40, level=level)
    text, _ = read(write_report(run))
    assert first in text
    assert command in text
    # Suggestions that nothing supports are only applied after a person has decided.
    trusting = [line for line in text.split("gdw ") if "RELABEL" in line and "--issues" not in line]
    assert bool(trusting) == (level == "supported")
    assert f"gdw audit {run} --issues label_issues_reviewed.csv --apply RELABEL" in text


def test_a_page_without_verified_examples_says_how_to_verify_some(tmp_path: Path) -> None:
    run = made.run_folder(tmp_path / "my run", ("cat", "dog"), data="a b.csv")
    config = run / "config.yaml"
    text = config.read_text().replace("drop: []", "drop: [id]").replace("test: null", "test: t.csv")
    config.write_text(text)
    page, _ = read(write_report(run))
    for command in (
        "gdw suggest 'a b.csv' --drop id --output verify.jsonl",
        "gdw verify verify.jsonl",
        f"gdw train 'a b.csv' --config '{run}/config.yaml' --meta verify.jsonl --output '{run}-verified'",
    ):
        assert command in page
    config.write_text(text.replace("meta: null", "meta: m.csv"))
    assert "gdw verify verify.jsonl" not in read(write_report(run))[0]


def test_no_copy_is_recommended_that_gdw_audit_refuses(tmp_path: Path) -> None:
    run = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv")
    rows = [(f"row {k} of gone.csv", "cat", "dog", 0.9 if k < 2 else 0.1) for k in range(4)]
    made.add_issues(run, rows)
    made.add_audit(run, ("cat", "dog"), 4, level="unproven")
    text, _ = read(write_report(run))
    assert "--issues label_issues_reviewed.csv --apply RELABEL" in text
    assert "--apply KEEP" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("index,where\n1,2\n", "it has no column"),
        ("\x00\xff", "damaged"),
        ("index,where,given_label,suggested_label,suggested_probability,score,is_label_issue\n"
         "0,a,b,c,0.5,high,true\n", "damaged"),
        ("index,where,given_label,suggested_label,suggested_probability,score,is_label_issue\n"
         "0,a,b,c,0.5,7,true\n", "a score is not between 0 and 1"),
    ],
)  # fmt: skip
def test_a_damaged_list_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    run = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv")
    (run / "label_issues.csv").write_bytes(content.encode("latin-1"))
    result = CliRunner().invoke(app, ["report", str(run)])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (run / "report.html").exists()


def test_newer_and_damaged_files_are_refused(tmp_path: Path) -> None:
    run = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv")
    made.add_class_weights(run, np.eye(2))
    evidence = run / "evidence.safetensors"
    save_file(load_file(evidence), evidence, metadata={"format": "2", "gdw_version": "9.0"})
    with pytest.raises(RunError, match=r"written by gdw 9\.0 \(format 2\).*upgrade"):
        write_report(run)
    (run / "evidence.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunError, match="damaged"):
        write_report(run)
    made.add_class_weights(run, np.eye(3))
    with pytest.raises(RunError, match="it has 3 classes, the run 2"):
        write_report(run)
    (run / "evidence.safetensors").unlink()
    (run / "audit.json").write_text('{"format": 9}')
    with pytest.raises(
        RunError, match=r"audit.json was written by a newer gdw \(format 9\).*upgrade"
    ):
        write_report(run)


def test_an_output_that_is_no_page_is_refused_before_it_is_overwritten(tmp_path: Path) -> None:
    run = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv")
    precious = tmp_path / "data.csv"
    precious.write_text("a,b\n")
    with pytest.raises(ConfigError, match=r"ending in \.html"):
        write_report(run, output=precious)
    assert precious.read_text() == "a,b\n"
    with pytest.raises(ConfigError, match=r"the folder .* does not exist"):
        write_report(run, output=tmp_path / "none" / "page.html")


def test_escaped_cells_and_labels_that_look_missing_come_back(tmp_path: Path) -> None:
    run = made.run_folder(tmp_path / "run", ("=1+1", "NA"), data="gone.csv")
    made.add_issues(run, [("row 1 of gone.csv", "=1+1", "NA", 0.9)])
    frame = read_issues(run / "label_issues.csv")
    assert frame["given_label"].tolist() == ["=1+1"]
    assert frame["suggested_label"].tolist() == ["NA"]
    assert frame["is_label_issue"].tolist() == [True]


def test_reliability_counts_each_answer_in_its_bin() -> None:
    probabilities = np.array([[0.95, 0.05], [0.99, 0.01], [0.45, 0.55]], dtype=np.float32)
    bins = reliability(probabilities, np.array([0, 1, 1]))
    assert bins["count"] == [0] * 8 + [1] + [0] * 5 + [2]
    assert bins["accuracy"][-1] == 0.5
    assert bins["confidence"][-1] == pytest.approx(0.97)
    assert bins["accuracy"][8] == 1.0
    assert bins["accuracy"][0] is None


def test_from_training_to_the_page_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, rows, seed in (("data", 80, 0), ("clean", 12, 1), ("test", 40, 2)):
        write_table(tmp_path / f"{name}.csv", rows, seed=seed)

    def gdw(*words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.output

    gdw("train", "data.csv", "--label", "animal", "--meta", "clean.csv", "--output", "run",
        "--epochs", "2", "--batch-size", "20", "--model", "mlp:8", "--accelerator", "cpu")  # fmt: skip
    made.add_issues(
        Path("run"),
        [("row 3 of data.csv", "cat", "dog, big", 0.9), ("row 98 of data.csv", "cat", "cat", 0.1)],
    )
    assert gdw("report", "run", "--test", "test.csv") == "open the report: run/report.html\n"
    kept = json.loads(Path("run", "evaluation.json").read_text(encoding="utf-8"))
    assert sum(kept["reliability"]["count"]) == kept["examples"] == 40
    # The calibration error is the mean distance from the diagonal of the picture.
    bins = zip(*(kept["reliability"][k] for k in ("count", "confidence", "accuracy")), strict=True)
    distance = [n * abs(confidence - accuracy) for n, confidence, accuracy in bins if n]
    assert sum(distance) / 40 == pytest.approx(kept["ece"], abs=1e-6)
    text, _ = read(Path("run", "report.html"))
    row = Path("data.csv").read_text().splitlines()[4].split(",")
    assert f"weight {float(row[0] or 'nan'):.6g}" in text.replace("weight –", "weight nan")
    assert "no longer in the data" in text
    # The advice works, with the options of the run where they are not the usual ones.
    commands = re.findall("<code>gdw ([^<]*)</code>", Path("run", "report.html").read_text())
    (train,) = [command for command in commands if "--method plain" in command]
    assert html.unescape(train) == (
        "train data.csv --label animal --meta clean.csv --model mlp:8 --epochs 2 --batch-size 20 "
        "--method plain --add-clean --output run-plain"
    )
    gdw(*shlex.split(html.unescape(train)))
    assert "report run --baseline run-plain" in commands
    gdw("report", "run", "--baseline", "run-plain", "--test", "test.csv", "--output", "both.html")
    assert "run-plain" in read(Path("both.html"))[0]
