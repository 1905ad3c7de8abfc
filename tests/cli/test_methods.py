"""Every method of the registry from the command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("method", ["forward", "glc", "co_teaching", "posterior", "fine_tune"])
def test_methods_that_prepare_or_keep_a_second_model(train: Run, method: str) -> None:
    done = train("--method", method)
    assert done.exit_code == 0, done.output


def test_an_option_of_a_method(train: Run) -> None:
    assert train("--method", "focal", "--set", "gamma=0.5").exit_code == 0
    wrong = train("--method", "focal", "--set", "gamma=-1", "--output", "other")
    assert wrong.exit_code == 2
    assert "gamma must be a number of at least 0" in wrong.output


def test_clean_examples_are_not_added_twice(train: Run) -> None:
    done = train("--method", "plain_clean", "--add-clean")
    assert done.exit_code == 2
    assert (
        "'plain_clean' trains on the clean examples already and add_clean would count"
        in done.output
    )
