# Every command of the project. `make help` lists them; CI runs these same targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Without bytecode on disk every process compiles all it imports again: three times the start of each `flow2api`.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := proto common upstream token-service generation-service poller-service gateway sandbox cli
SDKS := tests/sdks/litellm tests/sdks/node
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
	@for sdk in $(SDKS); do $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		$(if $(UPGRADE),--upgrade,) --custom-compile-command "make lock" --output-file $$sdk/requirements.lock \
		$$sdk/requirements.in; done

.PHONY: demo
demo: setup ## Make an image and a video against the sandbox, then go on serving (ARGS=--once stops by itself)
	@$(BIN)/flow2api demo $(ARGS)

.PHONY: up
up: setup ## Run everything in one process on real accounts
	@$(BIN)/flow2api up $(ARGS)

.PHONY: test
test: setup ## Run every test; starts the servers that it needs by itself (ARGS="-k name" chooses)
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

.PHONY: proto
proto: setup ## Write the gRPC stubs anew from proto/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python proto/generate.py

.PHONY: docs
docs: setup ## Write the generated pages of docs/ anew
	@$(BIN)/python deploy/checks/settings_page.py
	@$(BIN)/python deploy/checks/grpc_page.py

.PHONY: format
format: setup ## Format the code and mend what can be mended mechanically
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write proto

.PHONY: lint
lint: setup ## Check format, lint, types, import rules, protos, and that nothing private is tracked
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary $(PACKAGES:%=%/src) tests/plugins tests/bench tests/chaos/flow2api_chaos deploy/checks docs/examples
	$(BIN)/lint-imports --no-cache
	@for package in $(PACKAGES); do (cd $$package && ../$(BIN)/deptry --no-ansi src > /dev/null 2> ../$(VENV)/deptry.txt) \
		|| { echo "$$package:"; cat $(VENV)/deptry.txt; exit 1; }; done
	$(BIN)/buf format --exit-code --diff proto > /dev/null
	$(BIN)/buf lint proto
	@deploy/checks/proto_breaking.sh $(BIN)/buf
	@deploy/checks/proto_stubs.sh $(BIN)
	$(BIN)/python deploy/checks/settings_page.py --check
	$(BIN)/python deploy/checks/grpc_page.py --check
	@deploy/checks/tracked_files.sh

.PHONY: bench
bench: setup ## Measure the whole chain beside bare floors, in one run, and write the table to docs/performance.md
	@PYTHONPATH=tests/plugins $(BIN)/python tests/bench/run.py $(ARGS)

.PHONY: chaos
chaos: setup ## Kill, cut and spoil everything while 300 videos are made, and check the books (ARGS="--seed 7 --videos 50")
	@PYTHONPATH=tests/chaos:tests/plugins $(BIN)/python -m flow2api_chaos $(ARGS)

EXAMPLES ?= 100
SEED ?= 1

.PHONY: fuzz
fuzz: setup ## Send many requests made up from the OpenAPI document to every endpoint (EXAMPLES=300 SEED=7)
	@FUZZ_EXAMPLES=$(EXAMPLES) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest tests/e2e/test_generated_requests.py $(ARGS)

.PHONY: clean
clean: ## Remove .venv and the caches; state in .flow2api stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
