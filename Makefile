# `make` alone prints what there is. ARGS="…" goes to the command that a target runs; PYTHON=… names an interpreter.

.DEFAULT_GOAL := help
SHELL := /bin/sh
export PYTHON

PY := .venv/bin/python
TRADEWINDS := .venv/bin/tradewinds
ARGS ?=

.PHONY: help
help: ## Print what there is
	@echo 'Tradewinds. Set-up is part of each target; it needs Python 3.11 or newer, make and git.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  make up ARGS="--market DIR --speed 60 --for 5m"   hands options on; PYTHON=python3.12 names an interpreter'

.PHONY: setup dev
setup: ## Install what running needs into .venv (`make up` does it by itself)
	@.ci/setup run

dev: ## Install what developing needs, too (`make test` and `make check` do it by themselves)
	@.ci/setup dev

# Should make be killed outright, the fleet is told by the kernel and goes at once, as if it had been killed itself: a second
# `make up` then finds nobody in its folder. An interrupt or a TERM reaches the fleet by itself and lets it drain.
.PHONY: up
up: setup ## Run the whole fleet with its servers, a practice venue and a live view
	@exec $(PY) -I -S common/adapters/embedded/child.py --parent $$PPID --death-signal 9 -- $(TRADEWINDS) up $(ARGS)

.PHONY: test
test: dev ## Run the tests and hold the coverage of rules and use cases; ARGS="tests/domain -x" runs a part without that
	@$(PY) -m pytest -n 2 $(if $(ARGS),$(ARGS),--cov --cov-report=term:skip-covered --cov-report=json)
	@$(if $(ARGS),,$(PY) tests/coverage_gate.py)

.PHONY: check check-lint check-types check-imports check-compose check-image
check: dev check-lint check-types check-imports check-compose check-image ## Lint, types, import contracts, compose file and Dockerfile

check-lint:
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

check-types:
	@$(PY) -m mypy

check-imports:
	@.venv/bin/lint-imports --no-logo

check-compose:
	@.ci/check-compose

check-image:
	@.ci/check-image

.PHONY: format
format: dev ## Put the code into shape
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

.PHONY: lock
lock: ## Renew the lock files after a change of pyproject.toml (needs uv; UPGRADE=1 takes the newest of everything)
	@command -v uv >/dev/null || { echo 'make lock needs uv: pipx install uv, or pip install --user uv' >&2; exit 1; }
	uv pip compile pyproject.toml $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements.lock
	uv pip compile pyproject.toml --extra dev -c requirements.lock $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-dev.lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: simulate bugs chaos modelcheck bench
simulate: setup ## Drive the services through thousands of seeded disasters in virtual time (long)
	@exec $(TRADEWINDS) simulate --seeds 5000 $(ARGS)

bugs: dev ## Plant every seeded bug in turn and count the seeds until the simulation notices it (long)
	@exec $(PY) -m simulation.hunt --seeds 2000 --json $(ARGS)

chaos: setup ## Break the running fleet, process by process, and check its promises (hours)
	@exec $(TRADEWINDS) chaos --faults 10000 $(ARGS)

modelcheck: setup ## Walk every interleaving of the order, stop and halt machines
	@exec $(TRADEWINDS) modelcheck $(ARGS)

bench: setup ## Measure the pipeline beside its floor; ARGS="backtest --json" names another bench
	@exec $(PY) -m bench $(if $(ARGS),$(ARGS),pipeline --json)

.PHONY: clean
clean: ## Remove the environment and caches; the fleet's data in .tradewinds/ stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov *.egg-info
	@find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
