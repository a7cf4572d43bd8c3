# Every command of the project. `make help` lists them; CI runs these same targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := proto common upstream token-service generation-service poller-service gateway sandbox cli
PYPROJECTS := pyproject.toml $(PACKAGES:%=%/pyproject.toml)
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## Install everything into .venv, from the lock, checked by hash

$(STAMP): requirements.lock $(PYPROJECTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^uv==/{p=1} p{print} p&&!/\\$$/{exit}' requirements.lock > $(VENV)/uv.lock.txt
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/uv.lock.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(PACKAGES:%=--editable ./%)
	@touch $@

.PHONY: lock
lock: ## Write requirements.lock anew from the pyproject files (UPGRADE=1 takes newer versions)
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group pyproject.toml:dev \
		$(if $(UPGRADE),--upgrade,) $(PACKAGES:%=--no-emit-package flow2api-%) \
		--custom-compile-command "make lock" --output-file requirements.lock $(PYPROJECTS)
