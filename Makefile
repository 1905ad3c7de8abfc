# Two commands from a fresh clone: `make demo` and `make test`. Both make .venv first; if PYTHON has PyTorch, as in
# `make demo PYTHON=~/my-env/bin/python`, .venv uses that one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
PACKAGE := $(VENV)/.installed
TOOLS := $(VENV)/.tools

# pip would compile every module of every package, 0.3 GB. Python compiles those that are used, even if the
# environment says that it should not keep them.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint types unit fuzz clean

demo: $(PACKAGE)
	$(BIN)/gdw demo

test: lint types unit

$(PACKAGE): pyproject.toml
	@$(PYTHON) scripts/make_venv.py $(VENV)
	$(RUN) pip install --quiet --no-compile --editable .
	@touch $@

# What only developers need.
$(TOOLS): $(PACKAGE)
	$(RUN) pip install --quiet --editable '.[dev,vision,text,features]'
	@touch $@

lint: $(TOOLS)
	$(RUN) ruff check src tests scripts
	$(RUN) ruff format --check src tests scripts
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command as run; run()' --no-cache

types: $(TOOLS)
	$(RUN) mypy

# One worker for each core takes the next file of tests, so that what the tests of a file share is made once. Workers
# with more threads than cores would wait for each other.
unit: $(TOOLS)
	OMP_NUM_THREADS=1 $(RUN) pytest --numprocesses auto --dist loadfile

# Damaged files without end: `make fuzz SEED=...` repeats a run.
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
fuzz: $(TOOLS)
	@echo "fuzzing with SEED=$(SEED)"
	GDW_HYPOTHESIS_PROFILE=fuzz $(RUN) pytest tests/fuzz --hypothesis-seed=$(SEED)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
