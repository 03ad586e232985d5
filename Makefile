# Portico: `make serve` and `make test` are the whole set-up. Plain Python 3.11+ and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Portico needs Python 3.11 or later: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	touch $@

$(VENV)/.fuzz: requirements/fuzz.lock $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --only-binary :all: --require-hashes -r requirements/fuzz.lock \
		|| echo "atheris cannot be installed here"
	touch $@

serve: $(VENV)/.runtime ## Serve on 127.0.0.1:4000 (the demo, unless provider keys are set; ARGS="--config FILE")
	$(BIN)/portico serve $(ARGS)

demo: $(VENV)/.runtime ## A short tour of a demo gateway
	$(BIN)/portico demo

test: lint types imports ## Everything that must pass: lint, types, import contracts, tests
	$(BIN)/python -m pytest -n auto -m "not abuse"

lint: $(VENV)/.dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/.dev ## The rooms point one way
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev ## Rewrite the code in its own style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: $(VENV)/.fuzz ## Wrong input for every reader, led by coverage, 30 s each (PORTICO_FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz

abuse: $(VENV)/.dev ## Long fault and attack profiles
	PORTICO_ABUSE=full $(BIN)/python -m pytest -m abuse

bench: $(VENV)/.dev ## Gateway against nginx and direct, in one run -> bench/results.md
	$(BIN)/python -m bench

docs: $(VENV)/.dev ## Make the tables of docs/capabilities.md anew
	$(BIN)/portico capabilities --into docs/capabilities.md

build: $(VENV)/.dev ## Wheel and sdist in dist/
	$(BIN)/python -m hatchling build

lock: $(VENV)/.dev ## Lock dependencies again, with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml requirements/build.in -o requirements/runtime.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml requirements/build.in -o requirements/dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra fuzz -c requirements/dev.lock pyproject.toml -o requirements/fuzz.lock

clean: ## Remove everything that was made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/.work

.PHONY: help serve demo test lint types imports format fuzz abuse bench docs build lock clean
