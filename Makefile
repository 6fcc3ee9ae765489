# make book | pages | test | test-long | test-fast | drift | bench | workflow | lint | twins | clean | help. Each sets up .venv by itself.
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON  ?= python3
VENV    ?= .venv
PROFILE ?= ci
JOBS    ?= 2
CONFIG  ?=
BIN     := $(VENV)/bin
CORE    := tests/common tests/forward tests/prior tests/samplers tests/networks tests/test_floors.py
PHANTOM := runs/data/phantom-any2all-64-ci
TABLES  := $(if $(filter ci,$(PROFILE)),results,runs/bench/$(PROFILE))
READY   := $(VENV)/.installed
FLOW    := $(VENV)/.workflow-installed
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: help book pages test test-long test-fast drift bench workflow lint twins clean

help: ## show this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
	@echo "Options: PROFILE=smoke|ci|full  JOBS=chapters at a time  PYTHON=interpreter for the new environment"
	@echo "         CONFIG='gpu=true ...' fields of workflow/config.yaml"

book: $(READY) ## execute the chapters that changed and build the HTML book
	@$(BIN)/a2a book --profile $(PROFILE) --jobs $(JOBS)

pages: $(READY) ## look at every page of the built book in a browser
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rfEs --durations=5 -n 2 --dist load -m apart tests/book

test: $(READY) ## check the style and run the tests, less than ten minutes
	@echo "make: checking the style and running the tests"
	@failed=0; $(BIN)/ruff check . || failed=1; OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rfEs --durations=10 -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not slow and not long and not apart" || failed=1; exit $$failed

test-long: $(READY) ## run the tests that make test leaves out: trainings, killed processes, kernels, browsers
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rfEs --durations=5 -n 2 --dist load -m "long and not apart"

test-fast: $(READY) ## run the tests of the core, a minute
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 -m "not slow and not long and not apart and not law" --ignore tests/prior/test_engine.py $(CORE)

drift: $(READY) ## compare a small experiment with its committed results
	@$(BIN)/a2a prepare phantom-any2all --profile ci --out $(PHANTOM) --workers 2 --overwrite
	@$(BIN)/a2a drift --prior weights/phantom-any2all-64.safetensors --data $(PHANTOM)

workflow: $(FLOW) ## install Snakemake and run everything from data to book with it
	@$(BIN)/snakemake --profile workflow/profiles/local --config profile=$(PROFILE) $(CONFIG)

bench: $(READY) ## measure all methods for every figure, and the references; goes on where it stopped
	@$(BIN)/a2a prepare phantom-any2all --profile ci --out $(PHANTOM) --workers 2 --overwrite
	@$(BIN)/a2a prepare phantom-any2all --profile full --out $(PHANTOM:-ci=-full) --workers 2 --overwrite
	@$(BIN)/a2a bench experiments/figures/*.yaml --profile $(PROFILE) --out $(TABLES) --overwrite
	@$(BIN)/python -m a2a.benchmark.references experiments/comparison-references.yaml --train $(PHANTOM:-ci=-full) \
	  --test $(if $(filter smoke,$(PROFILE)),$(PHANTOM),$(PHANTOM:-ci=-full)) --profile $(if $(filter smoke,$(PROFILE)),smoke,full) \
	  --out $(TABLES) --overwrite

lint: $(READY) ## check style and types
	@failed=0; $(BIN)/ruff check . || failed=1; $(BIN)/mypy || failed=1; exit $$failed

twins: $(READY) ## rewrite notebooks/*.ipynb from book/*.md
	@$(BIN)/a2a book --twins

clean: ## remove the environment, the built book and all runs
	rm -rf $(VENV) _build runs .snakemake

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: a2a needs Python 3.11 or newer; name one with PYTHON=python3.11" >&2; exit 1; }
	@echo "make: setting up $(VENV) with the versions of requirements.txt (about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.8
	@$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -r requirements.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(FLOW): requirements-workflow.txt $(READY)
	@$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -r requirements-workflow.txt
	@touch $@
