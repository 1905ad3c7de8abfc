"""`row N` and `index` are the row of what the user gave, from 0, in every format; also in older lists."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gdw.audit import Evidence, label_issues
from gdw.audit.audit_files import read_issues
from gdw.audit.edited_issues import read_edited_issues
from gdw.cli.app import app
from gdw.data import load
from gdw.errors import RunError
from tests.audit.made import drawn, evidence
from tests.data.files import image_folder, png
from tests.estimator.cases import labels, numbers, quick

NAMES = ["ant", "bee", "cat"]
FORMER = "earlier version of gdw, which counted rows from 1"


def table(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows).round(3),
            "label": np.array(NAMES)[rng.integers(0, 3, rows)],
            "checked": [20 <= i < 35 for i in range(rows)],
        }
    )


def write(frame: pd.DataFrame, path: Path) -> None:
    kinds = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".parquet": lambda: frame.to_parquet(path),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        ".npz": lambda: np.savez(
            path,
            X=frame[["x"]].to_numpy(),
            y=frame["label"].to_numpy(str),
            checked=frame["checked"].to_numpy(),
        ),
    }
    kinds[path.suffix]()


def gdw(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def audited(data: str, *more: object) -> pd.DataFrame:
    gdw(
        "train", data, "--output", "run", "--method", "plain_clean", "--epochs", 1, "--model", "mlp:4",
        "--accelerator", "cpu", "--progress", "none", *more,
    )  # fmt: skip
    gdw("audit", "run", "--threshold", 0)
    return pd.read_csv("run/label_issues.csv")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl", ".npz"])
def test_the_index_is_the_row_of_the_file(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = table()
    write(frame, Path(f"d{suffix}"))
    issues = audited(f"d{suffix}", "--trusted", "checked", "--limit", 50)
    assert not frame["checked"][issues["index"]].any()
    assert 20 < len(issues) < 45
    assert issues["index"].max() > 35
    assert list(frame["label"].iloc[issues["index"]]) == list(issues["given_label"])
    assert list(issues["where"]) == [f"row {i} of d{suffix}" for i in issues["index"]]
    if suffix == ".npz":
        return
    gdw(
        "audit", "run", "--issues", "run/label_issues.csv", "--apply", "KEEP", "--force",
        "--output", f"kept{suffix}",
    )  # fmt: skip
    left_out = issues["index"][issues["is_label_issue"]]
    kept = load(f"kept{suffix}", label="label").column("x")
    assert list(map(float, kept)) == list(frame["x"].drop(left_out))


def test_the_index_of_a_folder_is_the_place_in_its_sorted_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{name}/{i}.png" for name in NAMES for i in range(9)]
    image_folder(Path("d"), {name: png((9 * k, 0, 0)) for k, name in enumerate(names)})
    listing = [f"d/{name}" for name in sorted(names)]
    issues = audited("d", "--meta-size", 6, "--limit", 20)
    assert len(issues) == 14
    assert list(issues["where"]) == [listing[i] for i in issues["index"]]
    # An earlier version wrote the position among the training rows.
    former = issues.assign(index=issues["index"].rank().astype(int) - 1)
    former.to_csv("former.csv", index=False)
    for path in ("run/label_issues.csv", "former.csv"):
        words = ("audit", "run", "--issues", path, "--top", 14)
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        assert (FORMER in done.stderr) == (path == "former.csv")


def test_the_classifier_numbers_the_rows_of_x() -> None:
    y = labels()[np.random.default_rng(1).permutation(90)]
    middle = (np.arange(90) >= 30) & (np.arange(90) < 55)
    weights = np.where(np.arange(90) % 5 == 0, 0.0, 1.0)
    fitted = quick(method="plain_clean", epochs=1).fit(
        numbers(), y, trusted=middle, sample_weight=weights
    )
    issues = fitted.label_issues_
    assert sorted(issues["index"]) == list(np.flatnonzero(~middle & (weights > 0)))
    assert list(y[issues["index"]]) == list(issues["given_label"])


@given(st.sets(st.integers(0, 20), min_size=2, max_size=12), st.integers(0, 99), st.booleans())
@settings(max_examples=60, deadline=None)
def test_lists_of_all_times_mean_the_same_rows(rows: set[int], seed: int, with_where: bool) -> None:
    p, given_labels = drawn(len(rows), 3, seed=seed)
    made = evidence(p, given_labels, rows=np.array(sorted(rows)))
    today = label_issues(made, NAMES, where=lambda i: f"row {sorted(rows)[i]} of d.csv")
    position = made.positions(today["index"].to_numpy())
    np.testing.assert_array_equal(made.numbers[position], today["index"])
    np.testing.assert_array_equal(made.positions(np.array([-1, 99])), [-1, -1])
    places = [f"row {row + 1} of d.csv" for row in today["index"]]
    for frame in (today, today.assign(index=position, where=places)):
        found = read_again(frame if with_where else frame.drop(columns="where"), made)
        if isinstance(found, str):
            assert "keep the column 'where'" in found
            assert not with_where
        else:
            assert list(found["index"]) == list(today["index"])
            assert list(found["is_label_issue"]) == list(today["is_label_issue"])


def read_again(frame: pd.DataFrame, made: Evidence) -> pd.DataFrame | str:
    """The list as it is read from a file, or the error."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        frame.to_csv(Path(folder, "list.csv"), index=False)
        try:
            return read_edited_issues(Path(folder, "list.csv"), made, NAMES)
        except RunError as error:
            return str(error)


@pytest.mark.parametrize("index", [True, False])
def test_a_table_of_cleanlab_is_in_the_order_of_the_training_rows(
    tmp_path: Path, index: bool
) -> None:
    # Its index has no name. Read as rows of the data, 0 and 1 would be the last two examples.
    made = evidence(np.full((3, 3), 1 / 3), [0, 1, 2], rows=np.array([7, 0, 1]))
    pd.DataFrame(
        {
            "is_label_issue": [True, False, False],
            "label_quality": [0.1, 0.8, 0.9],
            "given_label": NAMES,
            "predicted_label": NAMES[::-1],
        }
    ).to_csv(tmp_path / "c.csv", index=index)
    frame = read_edited_issues(tmp_path / "c.csv", made, NAMES)
    assert list(frame["index"]) == [7, 0, 1]
    assert list(frame["is_label_issue"]) == [True, False, False]


HEAD = "index,where,given_label,suggested_label,suggested_probability,score,is_label_issue,label_quality\n"
REST = ",cat,ant,0.9,0.9,true,0.1\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "5,row 9 of d.csv",
            "row 0 of .*list.csv: index 5 and where 'row 9 of d.csv' are different",
        ),
        (
            "5,row 5 of d.csv|0,row 6 of d.csv",
            "index has the row of the data in row 0, and the posi",
        ),
        ("4,row 4 of d.csv", "row 0 of .*list.csv: index 4 is not one of .* examples .5 to 7."),
    ],
)
def test_a_list_whose_rows_contradict_each_other(tmp_path: Path, lines: str, message: str) -> None:
    made = evidence(np.full((3, 3), 1 / 3), [2, 2, 2], rows=np.array([5, 6, 7]))
    path = tmp_path / "list.csv"
    path.write_text(HEAD + "".join(line + REST for line in lines.split("|")))
    with pytest.raises(RunError, match=message):
        read_edited_issues(path, made, NAMES)


def test_a_list_of_before_is_shown_with_the_rows_of_today(tmp_path: Path) -> None:
    path = tmp_path / "label_issues.csv"
    path.write_text(
        HEAD + "".join(f"{place}{REST}" for place in ("0,row 6 of d.csv", "1,row 9 of d.csv"))
    )
    with pytest.warns(FutureWarning, match=FORMER):
        frame = read_issues(path)
    assert list(frame["index"]) == [5, 8]
    assert list(frame["where"]) == ["row 5 of d.csv", "row 8 of d.csv"]
    path.write_text(
        HEAD + "".join(f"{place}{REST}" for place in ("5,row 5 of d.csv", "8,row 8 of d.csv"))
    )
    assert list(read_issues(path)["index"]) == [5, 8]
    path.write_text(
        HEAD + "".join(f"{place}{REST}" for place in ("5,row 5 of d.csv", "8,row 2 of d.csv"))
    )
    with pytest.raises(RunError, match="its columns index and where name different rows"):
        read_issues(path)
