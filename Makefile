# Quench: build, run, test, measure.  `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
SOURCES := $(wildcard proxy/*/*.pyx proxy/*/*.pxd storenode/*.pyx storenode/*.pxd)

.PHONY: help build run test lint commands sanitize fuzz soak bench clean
.DEFAULT_GOAL := help

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

build: $(VENV)/.built   ## make .venv, compile the engine, install the command

$(VENV)/.tools:
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade "pip>=25.1" "setuptools>=80" wheel "Cython>=3.3,<3.4"
	@touch $@

# Installed anew when the project file has changed; otherwise only what a changed source concerns is compiled, in place.
$(VENV)/.installed: $(VENV)/.tools pyproject.toml
	@echo "compiling; the first time takes a minute or two"
	@PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --no-build-isolation -e .
	@touch $@ $(VENV)/.built

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	@mkdir -p build
	@$(PY) -W ignore -c "from setuptools import setup; setup()" build_ext --inplace -j4 >build/log 2>&1 || { cat build/log; false; }
	@touch $@

$(VENV)/.tested: $(VENV)/.built
	$(PY) -m pip install --quiet --group test
	@touch $@

run: build       ## the demo: three embedded nodes and a proxy on 127.0.0.1:6380
	$(VENV)/bin/quench demo

test: $(VENV)/.tested   ## everything the tests need, then the tests
	@command -v redis-server >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && { apt-get install -y -qq redis-server || { apt-get update -qq && apt-get install -y -qq redis-server; } ; } >/dev/null 2>&1; } \
	  || echo "redis-server is not installed: the tests that compare with it will be skipped, by name"
	$(PY) -m pytest

lint: $(VENV)/.tested   ## ruff, and mypy --strict on proxy and storenode
	$(PY) -m pip install --quiet --group lint
	$(PY) -m ruff check .
	$(PY) -m mypy

commands: build  ## proxy/COMMANDS.md from the command table
	$(VENV)/bin/quench commands --markdown > proxy/COMMANDS.md

sanitize: $(VENV)/.tested  ## the tests of the native code under AddressSanitizer and UBSan, in build/sanitize
	PY=$(PY) tests/sanitize.sh

KILLS ?= 200
FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.tested   ## fuzz the framing, FUZZ_SECONDS for each target
	$(PY) -m pip install --quiet --group fuzz
	$(PY) -m tests.fuzz.fuzz_requests -max_total_time=$(FUZZ_SECONDS)
	$(PY) -m tests.fuzz.fuzz_replies -max_total_time=$(FUZZ_SECONDS)

SOAK_SECONDS ?= 600
soak: $(VENV)/.tested   ## a storage node killed KILLS times, each checker for SOAK_SECONDS, engines without a fence
	QUENCH_KILLS=$(KILLS) $(PY) -m pytest -q tests/store/test_crash.py
	QUENCH_RANDOM=1 $(PY) -m pytest -q tests/store tests/engine tests/wire
	$(PY) -m tests.staleness --seconds $(SOAK_SECONDS)
	$(PY) -m tests.staleness.mutants
	$(PY) -m tests.counters --seconds $(SOAK_SECONDS) --option "counters: {keys: all}"
	$(PY) -m tests.counters.mutants
	$(PY) -m tests.chaos --nodes redis --nodes quench --seconds $(SOAK_SECONDS) --report
	$(PY) -m tests.chaos.mutants

bench: build     ## targets side by side: requests/s, latency, CPU per request
	$(PY) -m pip install --quiet --group bench
	$(PY) -m bench.run
	$(PY) -m bench.report

clean:           ## forget everything built
	rm -rf $(VENV) build *.egg-info
	find proxy storenode bench -name '*.so' -delete -o -name '*.c' -delete
