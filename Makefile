# Each target sets up .venv by itself: all it takes is Python 3.11 or newer, make and a package index.
# Another Python: make PYTHON=python3.13 test     One test: make test ARGS="tests/test_spec.py -k AA_8"

PYTHON ?= python3
ARGS ?=
# Of `make fuzz`, for each target.
SECONDS ?= 60
# Of `make bench`: anything but nothing for little of everything, in two minutes.
QUICK ?=
# Of `make mutants`: a folder or a module, all of them if empty.
MODULE ?=

VENV := .venv
BIN := $(VENV)/bin
# Newer than pyproject.toml when what it asks for is installed.
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test check prove fuzz mutants bench venv clean

help:
	@echo 'make demo    run the whole SCU-SCP ladder on a real image'
	@echo 'make test    run all tests; interop tests too, where DCMTK and tshark are installed'
	@echo 'make check   lint, format, types and the import rules'
	@echo 'make prove   check the state machine: cells, model, properties, simulation, torture'
	@echo 'make fuzz    coverage-guided fuzzing; SECONDS=n of each target'
	@echo 'make mutants mutation testing, half an hour; MODULE=dul_fsm/fsm for a part'
	@echo 'make bench   benchmarks against DCMTK, pynetdicom and bare sockets; QUICK=1 for two minutes'
	@echo 'make venv    only set up .venv'
	@echo 'make clean   remove .venv, caches and what was built'

demo: $(STAMP)
	$(BIN)/dul-fsm demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

check: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy --strict
	$(BIN)/lint-imports

prove: $(STAMP)
	$(BIN)/python -m tests.prove $(ARGS)

fuzz: $(STAMP)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli,dev,fuzz]'
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) $(ARGS)

mutants: $(STAMP)
	$(BIN)/python -m tests.mutation.run $(MODULE) $(ARGS)

bench: $(STAMP)
	$(BIN)/python -m benchmarks.run $(if $(QUICK),--quick) $(ARGS)

venv: $(STAMP)

# A .venv that an earlier try left half made has no working pip, and is made anew.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "dul_fsm needs Python 3.11 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)" >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
