# One command each, on a bare Debian machine as well as on a workstation: `make` alone says which.
# PYTHON names the interpreter that the environment is made from; JOBS how many test processes run side by side.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS)
export PYTHON

.PHONY: help demo test check bench kill-nine venv apt lint types arrows sizes fast format clean apt-python apt-run apt-bench
.NOTPARALLEL: # packages come before the environment, so that whoever lacks root learns of all of them at once

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: apt-run venv ## walk through a root CA inside SoftHSM, over the real API (DEMO_EXIT=1: stop after the walk)
	@exec $(BIN)/python -m scripts.demo

test: apt venv ## every test
	$(PYTEST)

check: lint types arrows sizes fast ## what a change must pass: formats, lint, types, arrows, sizes, fast tests

bench: apt-bench venv ## measure against OpenBao on this machine, in one run
	@$(BIN)/python -m bench

kill-nine: apt venv ## 200 rounds of kill -9 under load: nothing acknowledged may be lost
	CHANCERY_KILL_ROUNDS=200 $(BIN)/python -m pytest -q -o log_cli_level=INFO -o log_cli=true \
		tests/integration/test_kill_nine.py

venv: $(INSTALLED) ## make the virtual environment

apt: ## install the Debian packages that tests need, where missing
	@scripts/apt.sh python run test

lint: venv ## ruff
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: venv ## mypy --strict
	$(BIN)/mypy

arrows: venv ## import-linter: who may import whom
	$(BIN)/lint-imports

sizes: venv ## tests/architecture: sizes, docstrings, examples, documents
	$(PYTEST) -n 0 -m "not slow" tests/architecture

fast: apt venv ## the tests that take less than a minute
	$(PYTEST) -m "not slow" --ignore=tests/architecture

format: venv ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

apt-python:
	@scripts/apt.sh python

apt-run:
	@scripts/apt.sh python run

apt-bench:
	@scripts/apt.sh python run bench

$(INSTALLED): pyproject.toml scripts/venv.sh | apt-python
	scripts/venv.sh $(VENV)
	@touch $@
