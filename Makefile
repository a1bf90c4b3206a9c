# Every command a developer needs. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CODE := src tests benchmarks demo clients/python

.DEFAULT_GOAL := help
.PHONY: help setup run test check format docs demo bench lock clean

help: ## List the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml clients/python/pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  test -x $(BIN)/python || uv venv --quiet --python '>=3.11' $(VENV); \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt; \
	  uv pip install --quiet --python $(BIN)/python --no-deps -e . -e clients/python; \
	else \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e clients/python; \
	fi
	@touch $@

setup: $(STAMP) ## Make .venv with everything pinned in requirements/ (called by the others)

run: setup ## Start Tabard on the embedded default: collector :7070, web :7071, data in ./data
	@exec $(BIN)/tabard serve

test: setup ## Run all tests (fetches Node packages once; says what it skips and why)
	@# A CI machine of Debian gets its browser here; a newcomer is only told how to get one.
	@if [ -n "$$CI" ] && [ "$$(id -u)" = 0 ] && ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	fi
	@# Most tests wait for something: two at a time take two thirds of the time. worksteal keeps neighbours together, and
	@# runs tests that share a name (one is made for each operation of an OpenAPI file), of which loadfile runs one.
	@$(BIN)/python -m pytest -n 2 --dist worksteal

check: setup ## Lint, formatting, types, lock files and docs
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy $(CODE)

format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

docs: setup ## Write the reference pages that are made from the program (commands, settings, telemetry)
	@$(BIN)/python -m tabard.commands.manual docs

demo: setup ## A small shop on both clients, beside a Tabard of its own: http://127.0.0.1:7072
	@$(BIN)/python -m demo

bench: setup ## Measure against baselines in one run and print the tables
	@$(BIN)/python -m benchmarks

lock: ## Renew requirements/*.txt (hashes, no addresses; needs uv); what runs is what is tested
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra dev pyproject.toml requirements/build.in -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.txt requirements/build.in -o requirements/build.txt

clean: ## Remove .venv and caches (data/ stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
