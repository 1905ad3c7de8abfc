# Two commands from a fresh clone: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint types unit fuzz clean

demo: $(STAMP)
	$(BIN)/gdw demo

test: lint types unit

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev,vision]'
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/lint-imports --no-cache

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest

# Damaged files without end: `make fuzz SEED=...` repeats a run.
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
fuzz: $(STAMP)
	@echo "fuzzing with SEED=$(SEED)"
	GDW_HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest tests/fuzz --hypothesis-seed=$(SEED)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
