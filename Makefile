# One command each: demo, test, check, bench. PYTHON names the interpreter that the environment is made from.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: check lint types arrows fast

check: lint types arrows fast

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

arrows:
	$(BIN)/lint-imports

fast:
	$(BIN)/pytest -q -m "not slow" -n 2
