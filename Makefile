# Two commands need nothing but Python 3.11+, pip and make:
#   make demo   the main job on real data, and what it left on disk
#   make test   everything that must hold, the fault suites as a sample
#   make soak   the fault suites whole, and the laws with many more examples
#   make bench  against peers and the limit, into docs/benchmarks.md
#   make docs   the documentation as a site, in site/; part of make test
# A test server says EXAMPLES=ci: the same in each run. Elsewhere others are drawn.
PYTHON ?= python3
EXAMPLES ?= default
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint docs bench soak clean

demo: $(READY)
	$(BIN)/python examples/demo.py

# The summary of pytest comes last, with the coverage above it. By file: the examples
# of a page are one program.
test: lint docs
	$(BIN)/pytest -n auto --dist loadfile --hypothesis-profile=$(EXAMPLES) --cov --cov-report=term-missing:skip-covered

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes storify --ignoreexternal

# Any warning is an error. The variable silences an advertisement of the theme.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

bench: $(READY)
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python benchmarks/run.py $(BENCH)

soak: $(READY)
	$(BIN)/pip install --quiet --group faults
	STORIFY_SOAK=1 STORIFY_FUZZ_S=60 $(BIN)/pytest -n auto --dist loadfile --hypothesis-profile=soak --storify-crash=all

# pip reads dependency groups since 25.1, so it comes first.
$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[cli]" --group dev
	touch $(READY)

clean:
	rm -rf .venv demo_data site .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
