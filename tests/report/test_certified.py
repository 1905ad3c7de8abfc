"""The certificate of an audit on the page of its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.certify import certify_labels
from gdw.errors import RunError
from gdw.report import write_report
from gdw.report.certified import Relabelled, certified, plot_relabelled
from tests.report import fabricated as made
from tests.report.test_page import read


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv")
    made.add_issues(folder, [("row 3 of gone.csv", "cat", "dog", 0.9)])
    made.add_noise_matrix(folder, ("cat", "dog"), made.noise(2))
    made.add_audit(folder, ("cat", "dog"), 300)
    return folder


def _add(run: Path, **changes: Any) -> dict[str, Any]:
    """A certificate of 300 rows, 10 % of them wrong, in `audit.json`."""
    true = np.arange(300) % 2
    wrong = np.arange(300) % 10 == 0
    given, rows = np.where(wrong, 1 - true, true), np.arange(0, 300, 3)
    found = certify_labels(
        given, wrong * 0.8 + 0.1, rows, true[rows], ("cat", "dog"), suggested=true, target=0.05
    )
    assert found.curve is not None
    names = ("rows", "share", "low", "high")
    relabelled = {name: getattr(found.curve, name).tolist() for name in names}
    certificate = {**found.plain(), "relabelled": relabelled, **changes}
    audit = json.loads((run / "audit.json").read_text())
    (run / "audit.json").write_text(json.dumps(audit | {"certificate": certificate}))
    return certificate


def test_the_page_begins_with_what_is_certain_and_shows_its_basis(run: Path) -> None:
    before, _ = read(write_report(run))
    assert "About 23.4% of the 300 training examples probably have" in before
    assert "certificate" not in before
    share = _add(run)["share"]
    text, tags = read(write_report(run))
    limits = f"{share['low']:.1%} to {share['high']:.1%}"
    assert f"{limits} of the 300 labels are wrong, with 95% confidence." in text
    assert "This is certified by 100 verified rows" in text
    assert share["sentence"] in text
    assert "at most 5.0% of the remaining labels are wrong" in text
    for sentence in share["assumptions"]:
        assert sentence in text
    assert "Each interval holds with 95% confidence by itself" in text
    assert tags.count("svg") >= 2


def test_the_page_shows_classes_with_their_basis_and_what_was_applied(run: Path) -> None:
    applied = {"mode": "KEEP", "output": "kept.csv", "sentence": "leave out the 30 rows"}
    plain = _add(run, applied=applied)
    text, _ = read(write_report(run))
    assert "Applied (KEEP) in the copy kept.csv : leave out the 30 rows." in text
    assert "belong to another class" in text
    for share in plain["classes"]:
        limits = f"{share['low']:.1%} to {share['high']:.1%}"
        assert f"{limits} {share['wrong']} of {share['verified']}" in text
    few = {**plain, "classes": [{**share, "verified": 9} for share in plain["classes"]]}
    found = certified({"certificate": few})
    assert found is not None
    assert found.known_classes == []


def test_the_page_says_whose_suggestions_are_certified(run: Path) -> None:
    plain = _add(run)
    text, _ = read(write_report(run))
    assert (
        "if so many of the most suspicious rows get their suggested label, this share of all"
        in text
    )
    listed = {**plain["relabelled"], "scores": "list", "of": 250}
    _add(run, relabelled=listed, decided_by="decisions are about the list")
    text, _ = read(write_report(run))
    assert "Decisions are about the list." in text
    assert "the most suspicious rows of this list get their suggested label, this share of" in text
    assert "the 250 labels that were not verified before the training is still wrong" in text
    _add(run, relabelled={**listed, "scores": "quick models"}, decided_by="")
    text, _ = read(write_report(run))
    assert "rows (as quick models see them) get their suggested label, this share of all" in text


def test_the_curve_has_its_band_and_leaves_out_what_is_not_known() -> None:
    points = Relabelled(
        rows=[0, 5, 9], share=[0.2, 0.1, None], low=[0.1, 0.0, None], high=[0.3, 0.2, None]
    )
    (axes,) = plot_relabelled(points).axes
    (line,) = axes.get_lines()
    assert line.get_xydata().tolist() == [[0, 0.2], [5, 0.1]]
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().ymax == pytest.approx(0.3)


def test_an_audit_of_an_earlier_version_and_a_damaged_one(run: Path) -> None:
    assert certified({"issues": 1}) is None
    assert certified(None) is None
    _add(run, relabelled={"rows": [0]})
    with pytest.raises(RunError, match=r"audit\.json is damaged: its certificate is incomplete"):
        write_report(run)
