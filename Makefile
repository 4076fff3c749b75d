# `make demo` and `make test` do all the set-up themselves, in one virtual environment.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint check bench clean

demo: $(INSTALLED)
	$(BIN)/landscape plot-1d checkpoints/digits-at.pt checkpoints/digits-at-awp.pt --directions 10 --out demo.png

test: $(INSTALLED)
	$(BIN)/python -m pytest -q

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: $(INSTALLED)
	$(BIN)/python benchmarks/sweep.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find landscape tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The file marks a finished install: an interrupted one is taken up again, a changed pin is installed.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev,eval]'
	touch $@
