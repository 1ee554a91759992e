# Every target sets itself up: Python 3.11 or newer with pip and venv, and make, are all that has to be there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := kalshi_ingest kalshi_simulator tests benchmarks examples
QUICK := tests/domain tests/exchange tests/http tests/parquet \
	$(addprefix tests/coverage/test_,bins.py fix_plan.py judge.py report_json.py report_text.py weather.py) \
	tests/postgres/test_writer.py $(addprefix tests/test_,architecture.py docs.py package.py words.py)
# Where it is set, each of the thousand processes that the tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.PHONY: help demo test quick test-long check bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/run  ## simulated exchange, embedded PostgreSQL, backfill and its proof, offline, within a minute
	$(BIN)/kalshi-ingest demo

test: $(VENV)/dev  ## every check and every test but the long ones
	@# Collecting compiles the tests, which each worker would do for itself; the checks leave a core idle meanwhile.
	@$(BIN)/python -m pytest --collect-only --quiet >/dev/null 2>&1 & $(MAKE) --no-print-directory check && wait
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder

quick: $(VENV)/dev  ## the tests of the pure rules and of one real database, while you work
	$(BIN)/python -m pytest -n 2 -m "not slow and not long" $(QUICK)

test-long: $(VENV)/dev  ## the tests that repeat for many seeds or minutes (half an hour)
	$(BIN)/python -m pytest -n 4 --dist loadfile -m long --timeout 3600

check: $(VENV)/dev  ## format, lint, types, import contracts, dead code
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

bench: $(VENV)/dev  ## the figures of docs/benchmarks.md, measured here (about eighty minutes)
	$(BIN)/python -m benchmarks

clean:  ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/run: pyproject.toml constraints.txt
	@echo "Making a virtual environment in $(VENV) and installing what kalshi-ingest needs; this can take some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt
	@echo "Making a virtual environment in $(VENV) and installing what the checks and tests need; this can take some minutes."
	$(PYTHON) -m venv $(VENV)
	@# The pip that comes with Python 3.11 takes twice as long: it compares every file of an index with every tag.
	$(BIN)/python -m pip install --quiet --upgrade --disable-pip-version-check -c constraints.txt pip
	@# Not all of it is imported: what is compiles itself, which takes half a minute less than compiling everything.
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev,clients]'
	touch $(VENV)/run $@
