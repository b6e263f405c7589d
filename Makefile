# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin
export JAX_PLATFORMS ?= cpu
DEMO_OUT ?= demo

.PHONY: demo test fast lint types bench clean

.venv/base: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[plots]'
	touch $@

# A CPU build of PyTorch first: without it the package index would send gigabytes of CUDA libraries.
.venv/dev: .venv/base
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: .venv/base  ## reproduce Figure 1 at its published size into demo/
	$(BIN)/lindyn demo --out $(DEMO_OUT) --force

test: .venv/dev lint types  ## lint, types and the whole test suite
	$(BIN)/python -m pytest -n 2

fast: .venv/dev  ## the fast lane: everything but the slow tests
	$(BIN)/python -m pytest -n 2 -m 'not slow'

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

bench: .venv/dev  ## speed and memory against the published algorithm, in one run
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
