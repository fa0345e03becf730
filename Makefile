# `make` tells what there is. Needs Python 3.11 or newer, git and make; the rest comes from uv.lock into .venv.

PYTHON ?= python3
UV_VERSION := 0.13.9
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready

unexport VIRTUAL_ENV
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
# Each command that a test starts would compile dlt anew where Python may not write beside its sources.
export UV_COMPILE_BYTECODE := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow lint types format docs pictures bench bench-speed bench-logs bench-views bench-cost \
	bench-destinations bench-spark

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  ARGS=… is handed on: make test ARGS='-k retries', make demo ARGS=--json"

demo: $(READY) ## A whole organization's CI in buildkite.duckdb, and a report; needs no token
	@$(BIN)/buildkite-elt demo $(ARGS)

test: $(READY) ## The tests, on every core, in some minutes
	@$(BIN)/pytest --numprocesses auto --dist worksteal -m "not slow" $(ARGS)

test-slow: $(READY) ## The rest: faults end to end, kills, simulated weeks, a wheel in an empty environment
	@$(BIN)/pytest --numprocesses auto --dist worksteal -m slow $(ARGS)

lint: $(READY) ## Style, told and not mended
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

format: $(READY) ## Style, mended
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: $(READY) ## docs/tables.md, docs/views.md and README's scopes, from the tables and views themselves
	@$(BIN)/python -c 'from pathlib import Path; from buildkite_elt import describe; describe.write(Path())'

pictures: $(READY) ## docs/pictures, charts of the notebooks over the demo, as SVG
	@$(BIN)/python -m notebooks.pictures

# A quarter of an hour in all: fewer logs and random streams than bench-logs alone reads.
bench: LOGS := --logs 2000 --size 300 --streams 10000
bench: bench-speed bench-logs bench-views ## docs/benchmarks.md and its pages: how fast loads, logs and views are

# Each page is whole before it replaces the one before; docs/benchmarks.md has the first table of each.
PAGE = docs/benchmarks-$(@:bench-%=%).md
TODAY := --date "$$(date -u +%F)"
KEEP = mv .bench.md $(PAGE) && $(BIN)/python -m bench.contents > .bench.md && mv .bench.md docs/benchmarks.md

bench-speed: $(READY) ## From response bytes to rows, against what else reads them
	@$(BIN)/python -m bench.speed $(TODAY) $(ARGS) > .bench.md
	@$(KEEP)

bench-logs: $(READY) ## How fast job logs are read and searched
	@$(BIN)/python -m bench.logs --json .bench-logs.json $(LOGS) $(ARGS)
	@$(BIN)/python -m bench.told "$$(date -u +%F)" .bench-logs.json > .bench.md
	@$(KEEP)
	@$(BIN)/python -m bench.log_search

bench-views: $(READY) ## Every view over a million jobs
	@$(BIN)/python -m bench.views $(TODAY) > .bench.md
	@$(KEEP)

bench-cost: $(READY) ## Requests and losses of ours and of others, some minutes
	@$(BIN)/python -m bench.cost --write .bench.md $(TODAY) $(ARGS)
	@$(KEEP)

bench-destinations: $(READY) ## Each destination through the same course
	@PYTHONPATH=tests $(BIN)/python -m bench.destinations $(TODAY) $(ARGS) > .bench.md
	@$(KEEP)

bench-spark: $(READY) ## Spark and DuckDB over 5 million jobs and 200 million log lines; needs Java
	@$(BIN)/python -m bench.spark $(TODAY) $(ARGS) > .bench.md
	@$(KEEP)

# Made once, and again when the lock or the project's needs change. uv where it is on PATH and new enough (pyproject
# says how new); otherwise a pinned one is put into .venv, where `uv sync` leaves it alone.
$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing)." \
			"Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up .venv from uv.lock; this happens once and takes a minute or so." >&2
	@set -e; if uv python find "$(PYTHON)" >/dev/null 2>&1; then \
		uv sync --quiet --locked --python "$(PYTHON)"; \
	else \
		test -x $(BIN)/uv || $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv; \
		test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"; \
		$(BIN)/uv sync --quiet --locked --python $(BIN)/python; \
	fi
	@touch $@
