# Each target makes .venv when it is missing; nothing else is needed than Python 3.11 or later, and make. The tests also need
# libfaketime, PostgreSQL, Chromium and Node, which .ci/install gets on Debian where it may; without them those that need them
# fail, and say so.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
DATE ?= $(shell date -u +%F)
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
PACKAGES_JS := examples/participant-js/node_modules/.package-lock.json

.PHONY: help setup demo example-services test test-long test-python smoke-python chaos clocks faketime check bench bench-all bench-guard peers docs site diagrams pictures changelog clean
.DELETE_ON_ERROR:

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing what the project needs into .venv: this takes a minute the first time"
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[test,bench]'
	touch $@

.venv: $(STAMP)

help:  ## list the targets; `make` alone does the same
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with all that the targets below need; each of them does it when it is missing

demo: $(STAMP)  ## 500 orders as sagas over a real nats-server; ARGS=--crash kills the worker on the way
	$(BIN)/sagakit demo $(ARGS)

$(PACKAGES_JS): examples/participant-js/package-lock.json
	command -v npm > /dev/null || .ci/install
	npm ci --prefix examples/participant-js --no-fund --no-audit --prefer-offline
	touch $@

example-services: $(STAMP) $(PACKAGES_JS)  ## orders across services in Python and JavaScript; ARGS="--orders 1000 --kill"
	$(BIN)/python -m examples.services $(ARGS)

faketime:  ## install libfaketime, PostgreSQL, Chromium and Node where apt may; a few tests need each of them
	-@.ci/install

test: $(STAMP) faketime  ## the suite without the long tests, against a real nats-server
	$(PYTEST) -m "not long" $(ARGS)

test-long: $(STAMP) faketime  ## the long tests: chaos, every small plan, the benchmarks, kills of the demo
	$(PYTEST) -m long $(ARGS)

test-python:  ## the whole suite under another Python, PYTHON=3.14; made in a small Debian root if the machine has none
	.ci/other-python $(or $(filter 3.%,$(PYTHON)),$(error say which one: make $@ PYTHON=3.14)) \
	  bash -c '.ci/install && exec .ci/suite "$$@"' - $(ARGS)

smoke-python:  ## the wheel in an empty environment under another Python, PYTHON=3.15: README, demo, FastAPI
	.ci/other-python $(or $(filter 3.%,$(PYTHON)),$(error say which one: make $@ PYTHON=3.14)) .ci/smoke

chaos: $(STAMP) faketime  ## two minutes of kills, pauses and cuts, and a verdict; ARGS="--seed 7 --seconds 60 --sagas 600"
	$(BIN)/python -m tests.chaos $(ARGS)

clocks: $(STAMP) faketime  ## a minute with workers whose wall clocks are hours apart and jump, and what was measured
	$(BIN)/python -m tests.clocks

check: $(STAMP)  ## lint, types, and whether the changelog can be built
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright --ignoreexternal --verifytypes sagakit_actors
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright --ignoreexternal --verifytypes sagakit
	$(BIN)/towncrier build --draft --version $(VERSION) --date $(DATE) > /dev/null

bench: $(STAMP)  ## first figures: throughput with the server's default sync, and with sync_interval: always
	$(BIN)/python -m benchmarks throughput $(ARGS)

bench-all: $(STAMP)  ## every figure, on an otherwise idle machine: JSON, pictures and tables into figures/
	$(BIN)/python -m benchmarks all $(ARGS)

bench-guard: $(STAMP)  ## fails when CPU a saga, as a ratio, is more than 15 % above benchmarks/baseline.json
	$(BIN)/python -m benchmarks guard $(ARGS)

peers: $(STAMP)  ## what the benchmark `peers` compares with; PostgreSQL comes from the system's packages
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[peers]'
	npm install --prefix .venv/npm --no-fund --no-audit @restatedev/restate-server

docs: $(STAMP)  ## write the pages that are made from the code
	$(BIN)/python docs/generate.py

site: $(STAMP)  ## build the documentation into build/site; a warning fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open build/site/index.html"

diagrams: $(STAMP) faketime  ## draw the diagrams of the documentation anew, with Mermaid in Chromium
	npm install --prefix .venv/npm --no-fund --no-audit mermaid@11.17.2
	rm -f docs/diagrams/*.svg
	$(BIN)/python -m tests.docs.diagrams

pictures: $(STAMP) faketime  ## take the pictures of docs/console.md anew, with Chromium
	$(BIN)/python -m tests.web.pictures

# The section of this version is written anew each time. The fragments stay until the next version begins.
changelog: $(STAMP)  ## write what newsfragments/ has into CHANGELOG.md, as this version's section; DATE=2026-11-30
	sed -e '/^## $(VERSION) /,/^## [0-9]/{/^## $(VERSION) /d;/^## [0-9]/!d;}' CHANGELOG.md > .changelog && mv .changelog CHANGELOG.md
	$(BIN)/towncrier build --keep --version $(VERSION) --date $(DATE)

clean:  ## remove .venv and what the tools have cached
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
