# The everyday commands. `make help` is made from the ## comments; keep one on every target.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
STATE_DIR ?= .run
ORDERS ?= 100
CONCURRENCY ?= 100

# Variables given to make reach every program it runs, as those given before it do.
export STATE_DIR VENV

INSTALL := sh infra/stack/install.sh
STACK := $(PY) -m infra.stack
LOCK := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-config --custom-compile-command "make lock"

# These take one part: a service, nats, redis, or a simulator.
require_service = @test -n "$(SERVICE)" || { \
	echo "Say which part: make $@ SERVICE=order (make status lists them)" >&2; exit 2; }

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

# --- the stack

.PHONY: demo up down reset status logs env stop start kill quarantine release
demo: up ## start here: install, start the stack, place a few orders and show their events
	@$(PY) -m infra.stack.demo

up: install ## start everything; return when it is healthy and seeded
	@$(STACK) up

down: ## stop everything; no process and no port is left
	@if [ -x $(PY) ]; then $(STACK) down; else echo "Nothing is installed, so nothing runs."; fi

reset: install ## throw the state away and start afresh
	@$(STACK) reset

status: $(VENV)/.installed-runtime ## what runs, since when, healthy or not, and the consumers' lag
	@$(STACK) status

logs: $(VENV)/.installed-runtime ## the logs [SERVICE=...]; follows them in a terminal
	@$(STACK) logs $(if $(SERVICE),--service $(SERVICE))

env: $(VENV)/.installed-runtime ## the addresses of what runs, as KEY=value lines
	@$(STACK) env

stop: $(VENV)/.installed-runtime ## stop one part, as make status lists them: SERVICE=...
	$(require_service)
	@$(STACK) stop $(SERVICE)

start: $(VENV)/.installed-runtime ## start one part that was stopped: SERVICE=...
	$(require_service)
	@$(STACK) start $(SERVICE)

kill: $(VENV)/.installed-runtime ## kill one part with signal 9; the supervisor brings it back: SERVICE=...
	$(require_service)
	@$(STACK) kill $(SERVICE)

quarantine: $(VENV)/.installed-runtime ## a service whose database was restored listens, and says nothing: SERVICE=...
	$(require_service)
	@$(STACK) quarantine $(SERVICE)

release: $(VENV)/.installed-runtime ## end that: SERVICE=...
	$(require_service)
	@$(STACK) release $(SERVICE)

# --- using it

.PHONY: seed load trace dlq redrive audit choreography
seed: $(VENV)/.installed-runtime ## the first products and wallets; twice changes nothing
	@$(STACK) seed

load: $(VENV)/.installed-runtime ## place many orders at once [ORDERS=100 CONCURRENCY=100]
	@$(PY) -m bench.load --orders $(ORDERS) --concurrency $(CONCURRENCY)

trace: $(VENV)/.installed-runtime ## one order's events: ORDER=...
	@test -n "$(ORDER)" || { echo "Say which order: make trace ORDER=<order id>" >&2; exit 2; }
	@$(PY) -m ops trace "$(ORDER)"

dlq: $(VENV)/.installed-runtime ## the dead letters: what the services have set aside, and why
	@$(PY) -m ops dlq

redrive: $(VENV)/.installed-runtime ## send dead letters again: SERVICE=... ID=<id of make dlq, or all>
	@test -n "$(SERVICE)" && test -n "$(ID)" || { \
		echo "Say which: make redrive SERVICE=order ID=7 (make dlq lists them), or ID=all" >&2; exit 2; }
	@$(PY) -m ops redrive $(SERVICE) $(ID)

audit: $(VENV)/.installed-runtime ## check that money, stock and coupons add up
	@$(PY) -m ops.audit

choreography: $(VENV)/.installed-runtime ## write docs/CHOREOGRAPHY.md and the broker's permissions from the code
	@$(PY) -m saga.choreography

# --- working on it

.PHONY: check test bench modelcheck simulate mutants fuzz chaos outages lock
check: $(VENV)/.installed-dev ## linters, types, contracts between packages, the choreography
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m saga.choreography --check

# Two at a time: much of it is waiting for what happens on its stacks.
test: $(VENV)/.installed-dev redis postgres ## the whole suite, on ports and folders of its own [ARGS=...]
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.installed-dev redis postgres ## measure everything that is promised of speed; 45 minutes [ARGS=...]
	@sh bench/peers/install.sh
	@$(PY) -m bench $(ARGS)

modelcheck: $(VENV)/.installed-dev ## walk every interleaving of the production reactions [BOUND=small]
	@$(PY) -m tests.correctness.model --bound $(or $(BOUND),full)

simulate: $(VENV)/.installed-dev ## run schedules of faults on a simulated world [SEEDS=1000 FIRST=0], or replay one [SEED=7]
	@$(PY) -m tests.correctness.simulation $(if $(SEED),--seed $(SEED),--first $(or $(FIRST),0) --seeds $(or $(SEEDS),1000))

mutants: $(VENV)/.installed-dev redis postgres ## make known mistakes in a copy, and see that each is caught
	@$(PY) -m tests.correctness.mutants

fuzz: $(VENV)/.installed-dev redis postgres ## wrong input at length, on both databases [FUZZ_EXAMPLES=100]
	@FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),100) $(PY) -m pytest tests/correctness/fuzz $(ARGS)

chaos: $(VENV)/.installed-dev redis ## kill, hang, wipe and lock a stack of its own under load [SECONDS=180 SEED=...]
	@$(PY) -m tests.correctness.chaos --seconds $(or $(SECONDS),180) $(if $(SEED),--seed $(SEED))

outages: $(VENV)/.installed-dev ## POST's latency while broker, product or gateway are away for half a minute
	@$(PY) -m tests.correctness.chaos.outages

lock: $(VENV)/.installed-dev ## pin every dependency anew, with hashes
	$(LOCK) --upgrade -o infra/requirements/runtime.txt pyproject.toml
	$(LOCK) --upgrade --extra dev -o infra/requirements/dev.txt pyproject.toml
	$(LOCK) --upgrade -o bench/peers/requirements.txt bench/peers/requirements.in

# --- installing it

.PHONY: install redis postgres tools clean
install: $(VENV)/.installed-runtime redis ## what is needed to run: .venv, and redis-server if it can be had
	@:

$(VENV)/.installed-runtime: infra/requirements/runtime.txt
	@$(INSTALL) runtime

$(VENV)/.installed-dev: infra/requirements/dev.txt infra/requirements/runtime.txt
	@$(INSTALL) dev
	@touch $(VENV)/.installed-runtime

redis: ## redis-server by the system's package manager, if it can be had
	@$(INSTALL) redis

postgres: ## PostgreSQL's programs for the tests, if they can be had
	@$(INSTALL) postgres

tools: ## optional: the nats command line tool, built where Go is present
	@$(INSTALL) tools

clean: ## stop the stack; remove what was installed and made: its state, .venv, caches
	@if [ -x $(PY) ]; then $(STACK) clean; fi
	@rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
