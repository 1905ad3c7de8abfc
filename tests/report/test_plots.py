"""The pictures: what they show, for data in hand and for a run folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.figure import Figure
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from gdw import report
from gdw.audit.evidence import ClassWeights
from gdw.errors import ConfigError, DataError, RunError
from gdw.files.svg import as_svg
from gdw.report.heatmaps import confusions
from gdw.report.style import short
from tests.estimator.cases import labels, numbers, quick
from tests.report import fabricated as made

NAMES = ("cat", "$dog$", "<b>")
COLUMNS = ("true_label", "given_label", "probability", "low", "high", "count")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = made.run_folder(tmp_path / "run", NAMES, data="gone.csv")
    made.add_noise_matrix(run, NAMES, made.noise(3))
    made.add_audit(run, NAMES, 30)
    made.add_class_weights(run, np.arange(9.0).reshape(3, 3))
    made.add_evaluation(run, NAMES)
    return run


def ticks(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_each_plot_takes_a_run_folder_and_leaves_pyplot_alone(run: Path) -> None:
    for plot in (
        report.plot_history,
        report.plot_noise_matrix,
        report.plot_class_weights,
        report.plot_issues_by_class,
        report.plot_reliability,
    ):
        svg = as_svg(plot(run), plot.__name__)
        assert svg.startswith("<svg"), plot
        assert svg.rstrip().endswith("</svg>")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


PLOTS = (
    report.plot_history,
    report.plot_noise_matrix,
    report.plot_class_weights,
    report.plot_issues_by_class,
)


@pytest.fixture(scope="module")
def fitted() -> Any:
    return quick(epochs=2).fit(numbers(), labels())


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: make_pipeline(c)])
def test_each_plot_takes_a_fitted_classifier(fitted: Any, wrap: Any) -> None:
    for plot in PLOTS:
        assert plot(wrap(fitted)).axes, plot
    figure = report.plot_reliability(wrap(fitted), numbers(), labels())
    p = fitted.predict_proba(numbers())
    right = np.mean(p.argmax(1) == (labels() == "yes"))
    shares = [bar.get_height() for bar in figure.axes[1].patches]
    accuracy = figure.axes[0].get_lines()[1].get_ydata()
    assert np.dot(accuracy, [share for share in shares if share]) == pytest.approx(right)
    same = report.plot_reliability(p, y=labels()).axes[0].get_lines()[1].get_ydata()
    np.testing.assert_array_equal(same, accuracy)


def test_the_plots_of_a_classifier_have_the_names_and_figures_of_its_tables(fitted: Any) -> None:
    for data in (fitted, fitted.noise_matrix_):
        axes = report.plot_noise_matrix(data).axes[0]
        assert ticks(axes.yaxis) == ["no", "yes"]
        np.testing.assert_array_equal(
            axes.get_images()[0].get_array(), fitted.noise_matrix_.probability
        )
    count = fitted.noise_matrix_.count
    wrong = {"no": count[1, 0] / count[:, 0].sum(), "yes": count[0, 1] / count[:, 1].sum()}
    axes = report.plot_issues_by_class(fitted).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(
        [wrong[name] for name in ticks(axes.yaxis)]
    )
    flagged = fitted.label_issues_.groupby("given_label")["is_label_issue"].mean()
    axes = report.plot_issues_by_class(fitted.label_issues_).axes[0]
    assert axes.get_xlabel() == "share of labels in doubt"
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(
        flagged.loc[ticks(axes.yaxis)].tolist()
    )


def test_each_plot_draws_in_the_axes_of_the_user(fitted: Any) -> None:
    whole = Figure()
    grid = whole.subplots(2, 4)
    data: dict[Any, tuple[Any, ...]] = {report.plot_reliability: (fitted, numbers(), labels())}
    places = (grid[0, :2], grid[0, 2], grid[0, 3], grid[1, 0], grid[1, 1], grid[1, 2:])
    plots = (*PLOTS, report.plot_reliability, report.plot_reliability)
    for plot, place in zip(plots, places, strict=True):
        assert plot(*data.get(plot, (fitted,)), ax=place) is whole, plot
    assert all(axes.has_data() for axes in grid.flat)
    part = Figure().subfigures(1, 2)[0]
    assert report.plot_noise_matrix(np.eye(2), ax=part.subplots()) is part.figure


def test_a_notebook_shows_a_plot_without_pyplot() -> None:
    figure: Any = report.plot_noise_matrix(np.eye(2))
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_long_names_keep_their_ends() -> None:
    names = [f"a class with quite a long name, number {k}" for k in (3, 14)]
    assert [short(name) for name in names] == ["a class with q…umber 3", "a class with q…mber 14"]
    axes = report.plot_noise_matrix(np.eye(2), label_names=("cat", "dog")).axes[0]
    assert axes.get_xticklabels()[0].get_rotation() == 0


def test_names_stay_as_they_are_and_black_becomes_the_colour_of_the_page(run: Path) -> None:
    svg = as_svg(report.plot_noise_matrix(run), "noise")
    assert ">$dog$</text>" in svg
    assert "&lt;b&gt;" in svg
    assert "#000000" not in svg
    assert "currentColor" in svg


def test_black_areas_have_the_colour_of_the_page_too() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().barh([0], [1], color="#000000")
    assert as_svg(figure, "bars").startswith('<svg fill="currentColor"')


def test_a_narrow_figure_has_less_in_it() -> None:
    matrix, narrow = made.noise(20), 3.7
    assert report.plot_noise_matrix(matrix).axes[0].get_images()
    assert not report.plot_noise_matrix(matrix, width=narrow).axes[0].get_images()
    few = report.plot_noise_matrix(made.noise(8), width=narrow)
    assert few.get_figwidth() == narrow
    assert {text.get_text() for text in few.axes[0].texts} == {"0", "20", "80"}
    wide = report.plot_noise_matrix(made.noise(8))
    assert {text.get_text() for text in wide.axes[0].texts} == {"0%", "20%", "80%"}
    loss = report.plot_history([{"epoch": 1, "train_loss": 1.0}], width=narrow).axes[0]
    assert loss.get_subplotspec().get_geometry()[:2] == (2, 1)
    weights = ClassWeights(np.diag(np.linspace(1, 0, 20)), np.ones(20), tuple(map(str, range(20))))
    shown = ticks(report.plot_class_weights(weights, width=narrow).axes[0].xaxis)
    assert shown == [str(k) for k in range(8, 20)]


def test_the_same_figure_is_the_same_text(run: Path) -> None:
    first, second = (as_svg(report.plot_history(run), "history") for _ in range(2))
    assert first == second


def test_the_noise_matrix_has_the_true_class_by_row(run: Path) -> None:
    for data in (run, made.noise(3)):
        image = report.plot_noise_matrix(data).axes[0].get_images()[0]
        np.testing.assert_allclose(image.get_array(), made.noise(3))
    figure = report.plot_noise_matrix(made.noise(3), label_names=NAMES)
    assert ticks(figure.axes[0].yaxis) == list(NAMES)


def test_many_classes_show_the_surest_confusions_first() -> None:
    matrix = made.noise(60, wrong=0.1)
    matrix[7] = made.noise(60, wrong=0.6)[7]
    axes = report.plot_noise_matrix(matrix).axes[0]
    assert len(axes.patches) == 25
    assert ticks(axes.yaxis)[0] == "7 → 8"
    assert axes.patches[0].get_width() == pytest.approx(0.6)


def test_class_weights_have_the_given_label_by_row_and_leave_out_unseen_labels() -> None:
    weights = ClassWeights(np.arange(9.0).reshape(3, 3), np.array([1, 0, 2]), NAMES)
    axes = report.plot_class_weights(weights).axes[0]
    np.testing.assert_array_equal(axes.get_images()[0].get_array(), [[0, 2], [6, 8]])
    assert ticks(axes.xaxis) == ["cat", "<b>"]


def test_the_least_trusted_labels_are_chosen_of_many() -> None:
    own = np.linspace(1, 0, 50)
    weights = ClassWeights(np.diag(own), np.ones(50), tuple(map(str, range(50))))
    axes = report.plot_class_weights(weights).axes[0]
    assert ticks(axes.xaxis) == [str(k) for k in range(10, 50)]


def test_issues_by_class_begin_with_the_worst() -> None:
    rows = [
        {"label": "fine", "examples": 10, "wrong_share": 0.0},
        {"label": "bad", "examples": 20, "wrong_share": 0.5},
    ]
    axes = report.plot_issues_by_class(rows).axes[0]
    assert ticks(axes.yaxis) == ["bad", "fine"]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.0]
    assert ticks(report.plot_issues_by_class(rows, limit=1).axes[0].yaxis) == ["bad"]


def test_the_history_skips_what_was_not_measured_and_draws_the_baseline() -> None:
    records = [{"epoch": 1, "train_loss": 2.0, "meta_loss": None, "test_accuracy": 0.5}]
    other = [{"epoch": 1, "test_accuracy": 0.4}, {"epoch": 2, "test_accuracy": 0.45}]
    loss, accuracy = report.plot_history(records, baseline=other).axes
    assert [line.get_label() for line in loss.get_lines()] == ["training, given labels"]
    assert [line.get_label() for line in accuracy.get_lines()] == ["test", "test, baseline"]
    np.testing.assert_array_equal(accuracy.get_lines()[1].get_ydata(), [0.4, 0.45])


def test_reliability_shows_the_bins_that_hold_answers() -> None:
    bins = {"count": [0, 4], "confidence": [None, 0.8], "accuracy": [None, 0.5]}
    upper, lower = report.plot_reliability({"reliability": bins}).axes
    np.testing.assert_array_equal(upper.get_lines()[1].get_xydata(), [[0.8, 0.5]])
    assert [bar.get_height() for bar in lower.patches] == [0.0, 1.0]


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    bare = made.run_folder(tmp_path / "bare", NAMES, data="gone.csv")
    with pytest.raises(RunError, match=r"has no noise_matrix\.csv: make it with gdw audit /"):
        report.plot_noise_matrix(bare)
    with pytest.raises(RunError, match="no run folder"):
        report.plot_history(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"shape \(C, C\), found \(2, 3\)"):
        report.plot_noise_matrix(np.zeros((2, 3)))
    with pytest.raises(ConfigError, match="expected 3 label names, one per class, found 2"):
        report.plot_noise_matrix(np.eye(3), label_names=("a", "b"))
    with pytest.raises(ConfigError, match=r"ax: expected 2 axes, as from .*subplots\(1, 2\)"):
        report.plot_history([{"epoch": 1}], ax=Figure().subplots())  # type: ignore[arg-type]
    with pytest.raises(NotFittedError, match="not fitted yet"):
        report.plot_history(quick())
    with pytest.raises(ConfigError, match=r"a fitted gdw\.GDWClassifier, found Dummy"):
        report.plot_history(DummyClassifier().fit([[0]], [0]))
    with pytest.raises(ConfigError, match=r"plot_reliability\(classifier, X, y\)"):
        report.plot_reliability(DummyClassifier().fit([[0]], [0]), y=[0])
    with pytest.raises(ConfigError, match="keeps no test data"):
        report.plot_reliability(quick(epochs=1).fit(numbers(), labels()))
    with pytest.raises(DataError, match=r"\(2, 2\), found \(3, 2\)"):
        report.plot_reliability(np.eye(3, 2), y=["a", "b"])
    with pytest.raises(ConfigError, match="given_label and is_label_issue, found x"):
        report.plot_issues_by_class(pd.DataFrame({"x": [1]}))
    with pytest.raises(ConfigError, match="found none"):
        report.plot_reliability({"accuracy": 1.0})


@pytest.mark.parametrize("share", [0.7, 0.9, 1.0])
def test_axes_of_shares_have_no_number_above_100_percent(share: float) -> None:
    rows = [{"label": "cat", "examples": 80, "wrong_share": share}]
    for width in (8.0, 3.7):
        axes = report.plot_issues_by_class(rows, width=width).axes[0]
        assert max(float(text.rstrip("%")) for text in ticks(axes.xaxis)) == 100
    curves = report.plot_history([{"epoch": k, "train_accuracy": share} for k in (1, 2)]).axes[1]
    assert max(float(text.rstrip("%")) for text in ticks(curves.yaxis)) <= 100
    table = pd.DataFrame([("a", "b", share, 0.6, 1.0, 9.0)], columns=COLUMNS)
    table = pd.concat([table.assign(true_label=f"k{k}") for k in range(50)])
    assert report.plot_noise_matrix(table).axes[0].get_xlim() == (0, 1)


def test_confusions_are_in_the_order_of_the_terminal_and_without_those_that_may_be_none() -> None:
    rows = [
        ("a", "b", 0.9, 0.5, 1.0, 2.0),
        ("b", "c", 0.2, 0.1, 0.3, 40.0),
        ("c", "a", 0.3, 0.0, 0.6, 50.0),
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    assert [*confusions(frame, limit=5)["count"]] == [40.0, 2.0]
    assert [*confusions(frame.assign(low=0.0), limit=2)["count"]] == [50.0, 40.0]
    assert [*confusions(frame.assign(low=np.nan, count=np.nan), limit=2)["probability"]] == [
        0.9,
        0.3,
    ]


ODD: tuple[tuple[Any, Any, str], ...] = (
    (report.plot_noise_matrix, None, "^expected a noise matrix: .*, found None$"),
    (report.plot_noise_matrix, [["a"]], "^expected a noise matrix: .*, found list$"),
    (report.plot_noise_matrix, pd.DataFrame({"given_label": ["a", "b"]}), "columns 'given_label'$"),
    (
        report.plot_noise_matrix,
        [[10, 2], [3, 50]],
        "shares from 0 to 1 .* found 10: divide the counts",
    ),
    (report.plot_noise_matrix, [[0.5, 0.5], [np.nan, 1]], "shares from 0 to 1 .*, found nan$"),
    (report.plot_noise_matrix, [[0.5, 0.5], [-0.1, 1]], "shares from 0 to 1 .*, found -0.1$"),
    (report.plot_noise_matrix, pd.DataFrame(np.eye(2), ["a", "b"], ["b", "a"]), "the same classes"),
    (report.plot_class_weights, np.eye(3), r"or its weights .*, found ndarray of shape \(3, 3\)$"),
    (report.plot_class_weights, [[1.0]], "or its weights .*, found list$"),
    (report.plot_class_weights, None, "or its weights .*, found None$"),
    (report.plot_history, None, "^expected a history: .*, found None$"),
    (report.plot_history, {"train_loss": [1]}, "^expected a history: .*, found dict$"),
    (report.plot_history, np.eye(2), r"^expected a history: .*, found ndarray of shape \(2, 2\)$"),
    (report.plot_history, pd.DataFrame({"loss": [1]}), "with an 'epoch' .*, found DataFrame"),
    (report.plot_issues_by_class, None, "a table of label issues, or records with .*, found None$"),
    (report.plot_issues_by_class, [{"label": "a"}], "or records with .*, found list$"),
    (report.plot_issues_by_class, np.eye(2), "or records with .*, found ndarray"),
    (report.plot_reliability, None, "or probabilities with y=labels, found None alone$"),
    (report.plot_reliability, np.eye(2), "or probabilities with y=labels, found ndarray .* alone$"),
)


@pytest.mark.parametrize(("plot", "data", "message"), ODD)
def test_other_data_are_one_clear_line(plot: Any, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plot(data)


def test_tables_of_each_library_are_drawn_like_what_they_hold() -> None:
    names = ["cat", "dog", "NA"]
    square = pd.DataFrame(made.noise(3), names, names)
    for table in (square, pl.from_pandas(square), square.reset_index(drop=True)):
        axes = report.plot_noise_matrix(table).axes[0]
        np.testing.assert_array_equal(axes.get_images()[0].get_array(), made.noise(3))
        assert ticks(axes.yaxis) == ticks(axes.xaxis) == names
    history = [
        {"epoch": 1, "train_loss": 2.0, "test_accuracy": None},
        {"epoch": 2, "train_loss": 1.0, "test_accuracy": 0.5},
    ]
    for many in (pd.DataFrame(history), pl.DataFrame(history)):
        loss, accuracy = report.plot_history(many).axes
        np.testing.assert_array_equal(loss.get_lines()[0].get_xydata(), [[1, 2], [2, 1]])
        np.testing.assert_array_equal(accuracy.get_lines()[0].get_xydata(), [[2, 0.5]])
    records = pd.DataFrame([{"label": "a", "examples": 8, "wrong_share": 0.25}])
    (bar,) = report.plot_issues_by_class(records).axes[0].patches
    assert bar.get_width() == 0.25


def test_a_class_called_na_is_in_the_plots_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "label_issues.csv"
    file.write_text("given_label,is_label_issue\nNA,true\nNA,false\ncat,false\n")
    tables = (pd.read_csv(file), pd.read_csv(file, keep_default_na=False), pl.read_csv(file))
    for table in tables:
        axes = report.plot_issues_by_class(table).axes[0]
        assert ticks(axes.yaxis) == ["NA", "cat"]
        assert [bar.get_width() for bar in axes.patches] == [0.5, 0]
        assert [text.get_text() for text in axes.texts] == ["50% of 2 examples", "0% of 1 example"]
    file.write_text("true_label,given_label,probability\nNA,NA,0.9\nNA,cat,0.1\ncat,cat,1\n")
    axes = report.plot_noise_matrix(pd.read_csv(file)).axes[0]
    assert ticks(axes.yaxis) == ["NA", "cat"]
    np.testing.assert_array_equal(axes.get_images()[0].get_array(), [[0.9, 0.1], [0, 1]])


def test_dates_as_labels_are_named_as_dates() -> None:
    days = pd.to_datetime(np.where(labels() == "yes", "2024-01-02", "2024-01-03")).to_numpy()
    fitted = quick(epochs=1).fit(numbers(), days)
    axes = report.plot_issues_by_class(fitted).axes[0]
    assert sorted(ticks(axes.yaxis)) == ["2024-01-02 00:00:00", "2024-01-03 00:00:00"]
    assert not any("of 0 examples" in text.get_text() for text in axes.texts)
