# Every recipe makes what it needs: a bare machine with git, make and Python 3.11 or later is enough.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# More arguments for a recipe: make run ARGS="--port 9000", make test ARGS="-k fleet".
ARGS ?=
# The interpreter the environment is made from; the first below that is new enough, when not given.
PYTHON ?=
# New releases are left to settle for a week: move this date when upgrading.
SETTLED ?= 2026-11-15

VENV := .venv
PY := $(VENV)/bin/python
# A moved folder breaks the scripts in an environment, so the stamps carry the place.
PLACE := $(shell pwd | cksum | cut -d ' ' -f 1)
RUN := $(VENV)/run-$(PLACE).stamp
TEST := $(VENV)/test-$(PLACE).stamp

PIP := $(PY) -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --require-hashes
COMPILE := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--exclude-newer $(SETTLED) --custom-compile-command "make requirements"

# Neither another project's modules nor a wish for user installs may reach the environment.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.PHONY: help run test lint format bench soak requirements clean

help: ## list the recipes
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /\1|/' | while IFS='|' read -r name text; \
		do printf '  make %-14s %s\n' "$$name" "$$text"; done

run: $(RUN) ## install, prepare the demo in var/demo and serve it
	@$(VENV)/bin/aldaba demo --dir var/demo $(ARGS)

test: lint ## style, types and all tests, on SQLite and PostgreSQL
	@$(PY) -m pytest $(ARGS)

lint: $(TEST) ## style and types only
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: $(TEST) ## bring the code into shape
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(TEST) ## measure, side by side with a bare application
	@$(PY) -m benchmarks $(ARGS)

soak: $(TEST) ## the long runs: fuzzing, faults, memory
	@$(PY) -m pytest -m soak $(ARGS)

requirements: $(TEST) ## pin the dependencies again (ARGS=--upgrade for newer ones)
	@$(COMPILE) $(ARGS) pyproject.toml -o requirements/run.txt
	@$(COMPILE) $(ARGS) requirements/test.in -o requirements/test.txt
	@$(COMPILE) $(ARGS) requirements/build.in --constraints requirements/test.txt -o requirements/build.txt

clean: ## remove the environment and the caches; var/ stays
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis

$(RUN): requirements/run.txt requirements/build.txt pyproject.toml | $(PY)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@echo "installing the server's dependencies (once; half a minute)"
	@$(INSTALL) -r requirements/run.txt -r requirements/build.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(TEST): requirements/test.txt $(RUN)
	@echo "installing what the tests need (once; a minute)"
	@$(INSTALL) -r requirements/test.txt
	@touch $@

# A virtual environment that has lost its interpreter is made again from nothing.
$(PY):
	@python=""; tried="$(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)"; \
	for candidate in $$tried; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
			then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make: Aldaba needs Python 3.11 or later; missing or older: $$tried" >&2; \
		echo "make: install one, or name it: make run PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	rm -rf $(VENV); \
	if ! "$$python" -m venv $(VENV); then \
		rm -rf $(VENV); \
		echo "make: $$python cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2; \
		exit 1; \
	fi
