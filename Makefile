# Everything runs in a virtual environment of its own, with the versions in requirements/constraints.txt.
# `make demo` and `make test` need nothing but Python 3.11 or newer, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint requirements/constraints.txt
# As many processes as cores; the tests of one file stay in one, because they share what is slow to make.
PARALLEL := --numprocesses auto --dist loadfile
# One thread each for small matrices: two processes with two threads each wait for one another most of the time.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q
FILES := pyproject.toml requirements/constraints.txt

.PHONY: demo test test-all lint format bench docs clean

demo: $(VENV)/installed
	$(BIN)/telltale demo

test: $(VENV)/installed-test
	$(PYTEST) -m "not slow" $(PARALLEL)

test-all: $(VENV)/installed-test
	$(PYTEST) $(PARALLEL)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed
	$(BIN)/python benchmarks/train_cats_and_dogs.py

docs: $(VENV)/installed
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not there or too old: Telltale needs Python 3.11 or newer. Name another: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(FILES) | $(VENV)/made
	$(INSTALL) --editable .
	@touch $@

# What the tests need includes what the demo needs.
$(VENV)/installed-test: $(FILES) | $(VENV)/made
	$(INSTALL) --editable '.[test]'
	@touch $(VENV)/installed $@
