# What a person types. `make` alone prints this list.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

ADLENS_HOME ?= $(CURDIR)/.adlens
export ADLENS_HOME
BIN := .venv/bin
PACKAGES := contracts landing spark_jobs training release serving adlens components
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

.PHONY: help setup day test up down lock clean

help:  ## print this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16
	@echo
	@echo "  make day DAY=2026-02-03    run that day"
	@echo "  make day LANDING=folder    take your own landing data (nothing is written into it)"
	@echo "  ADLENS_HOME=folder         where everything is kept (now: $(ADLENS_HOME))"

setup:  ## set everything up once (again: does nothing)
	@infra/local/setup.sh

day: setup  ## run the next day, from its click log to a published model
	@$(BIN)/adlens day $(if $(DAY),--day "$(DAY)") $(if $(LANDING),--landing "$(LANDING)")

test: setup  ## lint, check types and layers, run the tests
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports
	$(BIN)/pytest

up: setup  ## start Airflow, MLflow and Data Docs on this machine only
	@$(BIN)/adlens up

down: setup  ## stop what `make up` started
	@$(BIN)/adlens down

lock: setup  ## re-make the lock files from requirements/*.in
	cd requirements && ../$(LOCK) --override overrides.in all.in -o all.txt
	cd requirements && for name in training serving; do ../$(LOCK) -c all.txt $$name.in -o $$name.txt; done
	cd requirements && for name in java uv; do ../$(LOCK) $$name.in -o $$name.txt; done

clean:  ## delete the environment and the caches; keeps ADLENS_HOME
	rm -rf .venv *.egg-info build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -not -path './.adlens/*' -exec rm -rf {} +
