.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RIG ?= ../shared/kind-rig

.PHONY: help
help: ## Show what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1): make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: $(BIN)/python requirements.lock pyproject.toml
	@echo "Installing Quorate into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(BIN)/python requirements-dev.lock pyproject.toml
	@echo "Installing Quorate and its tests' tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run

.PHONY: demo
demo: $(VENV)/.run ## Play the story in a lab on this machine: lose nodes, lose quorum, recover
	@$(BIN)/quorate lab demo

.PHONY: test
test: labs units ## Run all tests but the faults and the ones on kind

# Labs mostly wait: two files of them at a time.
.PHONY: labs
labs: $(VENV)/.dev ## Of the tests, those with an API server or a lab
	@$(BIN)/python -m pytest tests/control_plane tests/lab tests/ui -n 2 --dist loadfile --no-loadscope-reorder

# What starts neither an API server nor a lab only computes: both cores.
.PHONY: units
units: $(VENV)/.dev ## Of the tests, the others
	@$(BIN)/python -m pytest -n 2 --ignore tests/control_plane --ignore tests/lab --ignore tests/ui

.PHONY: labs-again
labs-again: $(VENV)/.dev ## Play once more which of those with a lab failed last
	@$(BIN)/python -m pytest tests/control_plane tests/lab tests/ui --last-failed --last-failed-no-failures none

# Labs mostly wait: three of them at a time.
.PHONY: faults
faults: $(VENV)/.dev ## Play every fault of docs/failures.md on both API servers
	@$(BIN)/python -m pytest tests/faults -m faults -n 3 --dist loadgroup

.PHONY: faults-again
faults-again: $(VENV)/.dev ## Play once more what failed of them last
	@$(BIN)/python -m pytest tests/faults -m faults -n 2 --dist loadgroup --last-failed

.PHONY: crash-points
crash-points: $(VENV)/.dev ## Kill the leading manager at every one of its calls (make faults: at every third)
	@QUORATE_CRASH_POINTS_EVERY=1 $(BIN)/python -m pytest tests/faults/test_crash_points.py -m faults -n 2 --dist loadgroup -rP

# The rig brings up docker, images and kind where they are missing; without it they are looked for on this machine.
E2E := $(if $(wildcard $(RIG)/kind-up),QUORATE_KIND_RIG=$(abspath $(RIG))) $(BIN)/python

.PHONY: mutants
mutants: $(VENV)/.dev ## Plant a bug for each safety rule, one by one: a scenario, chaos or a test must catch it
	@$(BIN)/python -m tests.mutants

.PHONY: e2e
e2e: $(VENV)/.dev ## Lose workers of a real kind cluster and see their guest recovered (docs/kind.md)
	@$(E2E) -m pytest tests/e2e -m kind

.PHONY: e2e-again
e2e-again: $(VENV)/.dev ## Play once more what failed of them last
	@$(E2E) -m pytest tests/e2e -m kind --last-failed

.PHONY: kind-up
kind-up: $(VENV)/.dev ## A kind cluster with Quorate in it and the watchdog stand-in beside it
	@$(E2E) -m tests.e2e up

.PHONY: kind-demo
kind-demo: $(VENV)/.dev ## Play the story on a kind cluster: bring it up, lose workers, fence one (kind-down removes it)
	@$(E2E) -m tests.e2e demo

.PHONY: kind-down
kind-down: $(VENV)/.dev ## Remove that cluster and its stand-in
	@$(E2E) -m tests.e2e down

.PHONY: bench
bench: $(VENV)/.dev ## Measure what the docs claim about time and cost, into docs/benchmarks.md (three hours or so, with kind)
	@$(BIN)/python -m tests.bench all --record

.PHONY: story
story: $(VENV)/.dev ## Type the story in a lab, into docs/story.md
	@$(BIN)/python -m tests.story

.PHONY: ui
ui: $(VENV)/.dev ## Use the dashboard by mouse and keyboard, in the system's Chromium, on labs
	@$(BIN)/python -m pytest tests/ui

.PHONY: screenshots
screenshots: $(VENV)/.dev ## Take the pictures of docs/dashboard.md from the real page
	@$(BIN)/python -m tests.ui.screenshots

.PHONY: states
states: $(VENV)/.dev ## Draw the states of a guest, into docs/behaviour.md
	@$(BIN)/python -m tests.states

.PHONY: check
check: $(VENV)/.dev ## Format, lint, types, import layers
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-timing 2>/dev/null || $(BIN)/lint-imports

.PHONY: crds
crds: $(VENV)/.dev ## Write crds/ from the models
	@$(BIN)/python -c 'from pathlib import Path; from quorate.api.crd import write; write(Path("crds"))'

.PHONY: lock
lock: ## Pin the dependencies anew
	@$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  --extra build -o requirements.lock pyproject.toml
	@$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  --extra build --extra dev -o requirements-dev.lock pyproject.toml
