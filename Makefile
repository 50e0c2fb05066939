# Two commands for a fresh machine with Python 3.11+ and make: `make demo` and `make test`. Both set up what they need.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.ready
DIR    ?= .

export PYTHONDONTWRITEBYTECODE = 1

.PHONY: setup demo dev test check lint types imports format lock chaos simulate faults wheel clean audit

demo: setup  ## run a real workflow over DIR (default: this checkout) on the embedded stack, and show the result
	$(BIN)/famulus demo $(DIR)

chaos: setup  ## random faults on real servers for MINUTES=10, by SEED=, on STACK=real|embedded with WORKERS=2; the report says what held
	PYTHONPATH=$(CURDIR):$(CURDIR)/tests $(BIN)/python -m chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(STACK),--stack $(STACK)) $(if $(WORKERS),--workers $(WORKERS)) $(CHAOS)

simulate: setup  ## PLANS=100000 of faults against whole installations in memory, from SEED= on; tells the seed of each that breaks a promise
	$(if $(SEED),FAMULUS_SEED=$(SEED)) PYTHONPATH=$(CURDIR):$(CURDIR)/tests $(BIN)/python -m simulation.simulate \
		$(if $(PLANS),--plans $(PLANS)) $(SIMULATE)

dev: setup  ## the embedded stack with a worker and views, until Ctrl-C
	$(BIN)/famulus dev

test: setup  ## all tests that this machine can run; the last lines say what ran on what
	$(BIN)/python -m pytest $(PYTEST)

check: setup lint types imports  ## fast, without servers: before each commit
	$(BIN)/python -m pytest -q tests/unit tests/properties tests/docs

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy
	$(BIN)/mypy tests/typing

imports: setup
	$(BIN)/lint-imports

audit: setup  ## look for known vulnerabilities of what is pinned; says so where nobody answers
	$(BIN)/python .ci/audit.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "famulus needs Python 3.11 to 3.13, $(PYTHON) is $$($(PYTHON) --version); name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock:  ## pin every dependency with its hashes anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --group check --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

faults: setup  ## the whole fault matrix, with what lasts for minutes
	FAMULUS_TEST_LONG_FAULTS=1 $(BIN)/python -m pytest tests/faults $(PYTEST)

wheel: setup
	$(BIN)/python -m hatchling build --target wheel

clean:
	rm -rf $(VENV) .famulus dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
