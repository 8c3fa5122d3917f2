# DermSynth3D. Nothing is needed but Python >= 3.11 (with venv) and make.
#   make demo [DATASET=folder or archive]   the whole pipeline, end to end
#   make up / make stop                     the service on this machine
#   make backup [TO=] / make restore FROM=  everything, consistent, also while the service runs
#   make test / make check                  tests; linters, types, contracts, drift
#   make chaos [SEED= SIZE=small|full]      the fault campaign, and build/chaos.json
#   make soak [SEED= MINUTES=30]            mixed load and faults, and build/soak.json
#   make sheet DATASET= [GENERATOR=]        what a generator makes, images 0-47, beside real ones
#   make science                            the judgement on data whose truth is known, in full
#   make why94 [DATASET=folder]             the figures of docs/why-94-was-not-94.md

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# An index with CPU builds of torch, for hosts without a GPU; empty: what pip is configured with.
TORCH_INDEX ?=
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
PACKAGES := api core worker migrations

.PHONY: help venv demo test science why94 sheet up stop backup restore check format bench metrics-table chaos soak corpus images third-party clean
help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

venv: $(STAMP)

# The stamp is written last: an installation that was broken off is done again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.12")'
	@echo "Setting up .venv (some minutes the first time)"
	@$(PYTHON) -m venv .venv || { echo "python3-venv is needed (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	  -c constraints.txt -e '.[api,worker,backbones,render,embedded,dev]'
	@$(BIN)/python -m core.rendering.kernels
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/dermsynth demo $(if $(DATASET),"$(DATASET)")

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" $(PYTEST_ARGS)

# What the judgement says on simulated data whose truth is known, in full.
science: $(STAMP)
	@$(BIN)/python -m pytest tests/unit/learning/test_science.py tests/unit/learning/test_truth.py

# The course project's errors, each alone, on noise and on a folder of images in any layout.
why94: $(STAMP)
	@$(BIN)/python -m tests.bench.why94 $(if $(DATASET),--dataset "$(DATASET)")

# DATASET: a folder in any layout; GENERATOR: transplant, render3d; PARAMS: its parameters as JSON;
# REAL: another folder to stand beside; writes build/sheet-GENERATOR.png.
sheet: $(STAMP)
	@test -n "$(DATASET)" || { echo "say of what: make sheet DATASET=folder" >&2; exit 2; }
	@$(BIN)/python -m tests.bench.sheet --dataset "$(DATASET)" $(if $(GENERATOR),--generator "$(GENERATOR)") \
	  $(if $(PARAMS),--params '$(PARAMS)') $(if $(REAL),--real "$(REAL)")

up: $(STAMP)
	@$(BIN)/dermsynth up

stop: $(STAMP)
	@$(BIN)/dermsynth stop

# Of the running service, or of one that is stopped; TO: the folder of backups (var-backups).
backup: $(STAMP)
	@$(BIN)/python -m core.backup create $(if $(TO),--to "$(TO)")

# FROM: a backup, or a folder of backups. REPLACE=yes: what is there is lost. REVOKE_KEYS=yes: no
# key of the backup works.
restore: $(STAMP)
	@test -n "$(FROM)" || { echo "say what to restore: make restore FROM=folder" >&2; exit 2; }
	@$(BIN)/python -m core.backup restore --from "$(FROM)" $(if $(filter yes,$(REPLACE)),--replace) \
	  $(if $(filter yes,$(REVOKE_KEYS)),--revoke-keys)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m api.openapi --check
	$(BIN)/python scripts/check_compose.py docker-compose.yml
	$(BIN)/hadolint --config .hadolint.yaml Dockerfile.api Dockerfile.worker
	$(BIN)/python scripts/third_party.py --check

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	@$(BIN)/python -m tests.bench

# Every quality metric beside a reference library, on the same features or pixels.
metrics-table: $(STAMP)
	@$(BIN)/python -m tests.bench.metrics_table

# Every hostile upload and what becomes of it; CORPUS=folder writes the uploads instead.
corpus: $(STAMP)
	@$(BIN)/python -m tests.security.corpus $(if $(CORPUS),"$(CORPUS)")

# SEED=n repeats a schedule; SIZE=small or full; CASES=a,b some of them; LANES at a time
chaos: $(STAMP)
	@SEED="$(SEED)" SIZE="$(SIZE)" CASES="$(CASES)" LANES="$(LANES)" $(BIN)/python -m tests.chaos

# MINUTES of mixed load and faults (30): memory, and what is lost; SEED=n repeats a schedule
soak: $(STAMP)
	@SEED="$(SEED)" MINUTES="$(MINUTES)" $(BIN)/python -m tests.chaos.soak

images:
	@bash scripts/build_images.sh

third-party: $(STAMP)
	$(BIN)/python scripts/third_party.py

# The data folder var/ stays: it is yours.
clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
