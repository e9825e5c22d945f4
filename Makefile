# The everyday commands. `make help` prints the ## comments; keep one on every target.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
STATE_DIR ?= .run
ORDERS ?= 100
CONCURRENCY ?= 100

# Passed on to every program, also when given after the target: make up STATE_DIR=/tmp/shop. As it
# is, for a path may hold the $ with which make's own variables begin.
override STATE_DIR := $(value STATE_DIR)
export STATE_DIR VENV

INSTALL := sh infra/stack/install.sh
STACK := $(PY) -m infra.stack
OPS := $(PY) -m ops
PYTEST := $(PY) -m pytest
LOCK := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-config --custom-compile-command "make lock"

# For targets that take one part: a service, nats, redis, or a simulator.
require_service = @test -n "$(SERVICE)" || { \
	echo "Name the part: make $@ SERVICE=order (make status lists them)" >&2; exit 2; }

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^# ---/ { print "\n" substr($$0, 7) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 } \
		/^#: / { match($$0, / = /); printf "  %-14s %s\n", substr($$0, 4, RSTART - 4), substr($$0, RSTART + 3) }' Makefile

# --- the local stack: broker, Redis, services, simulated payment gateway and data platform

.PHONY: demo up down reset status logs env stop start kill quarantine recovery release
demo: up ## start here: install, start the stack, place a few orders and print their events
	@$(PY) -m bench.demo

up: install $(if $(filter 1,$(LITESTREAM)),litestream) ## start the stack; return when it is healthy and has its first products and wallets [CLUSTER=3: three brokers]
	@$(STACK) up

down: ## stop everything; no process and no port is left
	@if [ -x $(PY) ]; then $(STACK) down; else echo "Nothing is installed, so nothing runs."; fi

reset: install ## delete all data of the stack, and start it as new
	@$(STACK) reset

status: $(VENV)/.installed-runtime ## each part's process and health; each consumer's lag: events not handled yet
	@$(OPS) status

logs: $(VENV)/.installed-runtime ## the last lines of the logs [SERVICE=...]; follows them in a terminal
	@$(STACK) logs $(if $(SERVICE),--service $(SERVICE))

env: $(VENV)/.installed-runtime ## the addresses of what runs, as KEY=value lines
	@$(STACK) env

stop: $(VENV)/.installed-runtime ## stop one part, as listed by make status: SERVICE=...
	$(require_service)
	@$(STACK) stop $(SERVICE)

start: $(VENV)/.installed-runtime ## start one part that was stopped: SERVICE=...
	$(require_service)
	@$(STACK) start $(SERVICE)

kill: $(VENV)/.installed-runtime ## kill one part with signal 9; the supervisor starts it again: SERVICE=...
	$(require_service)
	@$(STACK) kill $(SERVICE)

quarantine: $(VENV)/.installed-runtime ## recovery mode, after a database was restored: replay all events, publish none: SERVICE=...
	$(require_service)
	@$(STACK) quarantine $(SERVICE)

recovery: $(VENV)/.installed-runtime ## what recovery mode found, adopted and still misses: SERVICE=...
	$(require_service)
	@$(OPS) recovery $(SERVICE)

release: $(VENV)/.installed-runtime ## audit, then end the recovery mode: SERVICE=... [FORCE=1: whatever the audit finds]
	$(require_service)
	@$(OPS) release $(SERVICE) $(if $(filter 1,$(FORCE)),--force)

# --- using and operating it

.PHONY: seed load trace dlq redrive dismiss audit-log streams audit backup restore choreography documents
seed: $(VENV)/.installed-runtime ## create the first products and wallets; a second time it changes nothing
	@$(STACK) seed

load: $(VENV)/.installed-runtime ## place many orders at once [ORDERS=100 CONCURRENCY=100 SCENARIO=66-34]
	@$(OPS) load --orders $(ORDERS) --concurrency $(CONCURRENCY) $(if $(SCENARIO),--scenario $(SCENARIO))

trace: $(VENV)/.installed-runtime ## one order's events, each with its cause: ORDER=...
	@test -n "$(ORDER)" || { echo "Name the order: make trace ORDER=<order id>" >&2; exit 2; }
	@$(OPS) trace "$(ORDER)"

dlq: $(VENV)/.installed-runtime ## list the dead letters: messages that a service could not handle, and why
	@$(OPS) dlq

redrive: $(VENV)/.installed-runtime ## handle dead letters again: SERVICE=... ID=<an id from make dlq, or all> [PREVIEW=1: only show what it would do]
	@test -n "$(SERVICE)" && test -n "$(ID)" || { \
		echo "Name them: make redrive SERVICE=order ID=7 (make dlq lists them), or ID=all" >&2; exit 2; }
	@$(OPS) redrive $(SERVICE) $(ID) $(if $(filter 1,$(PREVIEW)),--preview)

dismiss: $(VENV)/.installed-runtime ## give dead letters up: SERVICE=... ID=<an id from make dlq, or all> REASON='...'
	@test -n "$(SERVICE)" && test -n "$(ID)" && test -n "$$REASON" || { \
		echo "Name them: make dismiss SERVICE=order ID=7 REASON='sent by hand'" >&2; exit 2; }
	@$(OPS) dismiss $(SERVICE) $(ID) --reason "$$REASON"

audit-log: $(VENV)/.installed-runtime ## who has done what, in order of time [SERVICE=... SUBJECT=<id> ACTION=... SINCE=2026-01-31T09:00:00Z, else a day]
	@$(OPS) audit-log $(if $(SERVICE),--service "$$SERVICE") $(if $(SUBJECT),--subject "$$SUBJECT") \
		$(if $(ACTION),--action "$$ACTION") $(if $(SINCE),--since "$$SINCE")

streams: $(VENV)/.installed-runtime ## give the broker's streams changed settings, such as NATS_REPLICAS
	@$(OPS) streams

# The status 3, nothing wrong and not everything judged, is no failure here.
audit: $(VENV)/.installed-runtime ## do money, stock, coupons and events add up? [ACKNOWLEDGE=<name> REASON=...]
	@$(OPS) audit $(if $(ACKNOWLEDGE),--acknowledge "$$ACKNOWLEDGE" --reason "$$REASON") || test $$? -eq 3

backup: $(VENV)/.installed-runtime ## copy the databases of running services, and check the copies [SERVICE=... TO=folder]
	@$(OPS) backup $(SERVICE) $(if $(TO),--to "$(TO)")

restore: $(VENV)/.installed-runtime ## put a backup in the place of a database, in recovery mode: SERVICE=... FROM=<file, or litestream>
	@test -n "$(SERVICE)" && test -n "$(FROM)" || { \
		echo "Name them: make restore SERVICE=payment FROM=.run/backups/<file>" >&2; exit 2; }
	@$(OPS) restore $(SERVICE) --from "$(FROM)" --stack

choreography: $(VENV)/.installed-runtime ## write docs/CHOREOGRAPHY.md and the broker's permissions from the reactions' type hints
	@$(PY) -m saga.choreography

documents: $(VENV)/.installed-runtime ## write docs/configuration.md, databases.md, errors.md and docs/openapi from the code
	@$(PY) -m infra.documents

# --- working on it

.PHONY: service check test test-unit bench modelcheck simulate mutants fuzz chaos outages lock
service: $(VENV)/.installed-dev ## write the files of a new service: NAME=loyalty [PORT=8187]
	@test -n "$(NAME)" || { echo "Name it: make service NAME=loyalty [PORT=8187]" >&2; exit 2; }
	@$(PY) -m infra.stack.new_service $(NAME) $(if $(PORT),--port $(PORT))

check: $(VENV)/.installed-dev ## linters, types, imports between packages, generated files
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m saga.choreography --check
	$(PY) -m infra.documents --check
	$(PY) -m pytest -q tests/unit/test_tidiness.py

test-unit: $(VENV)/.installed-dev ## the tests that need no server, in under a minute [ARGS=...]
	$(PYTEST) tests/unit $(ARGS)

# Two workers on two cores. All files of a worker share its stacks (tests/conftest.py).
test: $(VENV)/.installed-dev redis postgres node ## all tests, on real servers with ports and folders of their own [ARGS=...]
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder --durations 10 $(ARGS)

bench: $(VENV)/.installed-dev redis postgres ## measure throughput and latency against the goals (docs/performance.md); 45 minutes [ARGS=...]
	@sh bench/peers/install.sh
	@$(PY) -m bench $(ARGS)

modelcheck: $(VENV)/.installed-dev ## run the services' reactions in every possible order of events [BOUND=small: fewer events]
	@$(PY) -m tests.correctness.model --bound $(or $(BOUND),full)

simulate: $(VENV)/.installed-dev ## seeded runs with faults on simulated servers: SEEDS=1000 runs from number FIRST=0, or run SEED=7
	@$(PY) -m tests.correctness.simulation $(if $(SEED),--seed $(SEED),--first $(or $(FIRST),0) --seeds $(or $(SEEDS),1000))

mutants: $(VENV)/.installed-dev redis postgres ## make known mistakes in a copy of the code; a test must fail on each
	@$(PY) -m tests.correctness.mutants

fuzz: $(VENV)/.installed-dev redis postgres ## generated wrong requests and messages, on both databases [FUZZ_EXAMPLES=100]
	@FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),100) $(PYTEST) tests/correctness/fuzz $(ARGS)

chaos: $(VENV)/.installed-dev redis ## kill, hang, wipe and restore parts of a stack under load [SECONDS=180 SEED=... CLUSTER=3]
	@$(PY) -m tests.correctness.chaos --seconds $(or $(SECONDS),180) \
		$(if $(SEED),--seed $(SEED)) $(if $(CLUSTER),--cluster $(CLUSTER))

outages: $(VENV)/.installed-dev ## the latency of POST while broker, product or gateway are away for half a minute
	@$(PY) -m tests.correctness.chaos.outages

lock: $(VENV)/.installed-dev ## write the exact version and hash of every Python package into infra/requirements
	$(LOCK) --upgrade -o infra/requirements/runtime.txt pyproject.toml
	$(LOCK) --upgrade --extra dev -o infra/requirements/dev.txt pyproject.toml
	$(LOCK) --upgrade -o bench/peers/requirements.txt bench/peers/requirements.in
	$(LOCK) --upgrade -o infra/requirements/litestream.txt infra/requirements/litestream.in

# --- installing it

.PHONY: install redis postgres node litestream tools clean
install: $(VENV)/.installed-runtime redis ## what is needed to run: .venv, and redis-server where it can be installed
	@:

$(VENV)/.installed-runtime: infra/requirements/runtime.txt
	@$(INSTALL) runtime

$(VENV)/.installed-dev: infra/requirements/dev.txt infra/requirements/runtime.txt
	@$(INSTALL) dev
	@touch $(VENV)/.installed-runtime

redis: ## redis-server by the system's package manager, where it can be installed
	@$(INSTALL) redis

postgres: ## PostgreSQL's programs for the tests, where they can be installed
	@$(INSTALL) postgres

node: ## Node.js and npm for the tests, where they can be installed
	@$(INSTALL) node

litestream: $(VENV)/.installed-litestream ## optional: Litestream, for continuous copies of the databases (LITESTREAM=1)

$(VENV)/.installed-litestream: infra/requirements/litestream.txt
	@$(INSTALL) litestream

tools: ## optional: the nats command line tool, built where Go is installed
	@$(INSTALL) tools

clean: ## stop the stack; remove its state, .venv and caches
	@if [ -x $(PY) ]; then $(STACK) clean; fi
	@rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- words
#: stack = everything that make up starts on this machine, in STATE_DIR (.run)
#: part = one program of the stack: a service, nats, redis, or a simulator (gateway, platform)
#: service = order, product, coupon, payment or dataplatform
#: simulator = a program that stands for a system of others: the payment gateway, the data platform
#: supervisor = the program that starts the parts, and starts a part again that has ended
#: event = a message about an order or a product that one service publishes and others handle
#: broker, stream = NATS JetStream, which carries the events; the ordered store that it keeps them in
#: consumer = a service at the broker: which events it has handled, and which not yet
#: cause = the event that led a service to publish this one
#: dead letter = a message that a service could not handle; it is stored, and others go on
#: recovery mode = how a service with a restored database catches up: it handles all events that the
#:  = stream holds, and publishes none until make release
#: audit = the check that money, stock, coupons and events add up in all databases
#: reaction = a function that handles an event; all reactions together are the choreography
#: seeded = with chosen random numbers, so that a run can be repeated exactly
#: [NAME=value] = may be added: make load ORDERS=500. ARGS is passed on to pytest or the benchmark
#: = more words: docs/glossary.md
