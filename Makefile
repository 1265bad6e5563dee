# Every target makes its own environment: `make demo` works in a fresh clone with Python 3.11+ and nothing else.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help install peers demo test test-all check lint types layers sizes triton cross sanitize fuzz doctest docs wheel bench cards clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NATIVE := CMakeLists.txt $(wildcard $(foreach part,ops engine,$(addprefix src/spikedrive/$(part)/native/,*.?pp */*.?pp)))
# a change in any of these installs again, which compiles what changed (without a compiler: goes on without)
PACKAGING := pyproject.toml constraints.txt $(NATIVE)

# two workers with one thread each are quicker on two cores than one worker with two threads
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

help:
	@printf '%s\n' \
	  'make demo      train, audit, compile, verify and report on the bundled images (runs/demo/report.html)' \
	  'make test      the tests that everybody runs' \
	  'make test-all  those, and the full-size ones that take many minutes' \
	  'make check     lint, types, layers, sizes, Triton, 64-bit ARM, sanitizers, fuzzing, doctests, documentation, wheel' \
	  'make cross     compile the kernels for 64-bit ARM and compare them, bit for bit, in an emulator' \
	  'make sanitize  run random programs on the engine under sanitizers of addresses and undefined behaviour' \
  'make fuzz      feed the loader of .sdx files with damaged ones for a minute, under sanitizers' \
	  'make docs      the documentation in site/' \
	  'make wheel     build the wheel and try it in an environment of its own' \
	  'make peers     install the libraries of others, which the tests of models from them need (else skipped)' \
  'make bench     measure, and write benchmarks/results/*.csv' \
  'make cards     train the weights that come with the package (NAME=... one of them), and measure their cards'

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; name a newer one, as in: make demo PYTHON=python3.12" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and pinned: an unpinned one would bring gigabytes of CUDA packages
$(VENV)/.torch: $(VENV)/.made constraints.txt
	$(PIP) torch
	@touch $@

$(VENV)/.core: $(VENV)/.torch $(PACKAGING)
	$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.torch $(PACKAGING)
	$(PIP) -e '.[test]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: $(VENV)/.torch $(PACKAGING)
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.core $(VENV)/.test

# what the tests and the checks need, in one go
install: $(VENV)/.dev

# an interrupted demo goes on where it stopped; a finished one is run anew
demo: $(VENV)/.core
	$(BIN)/spikedrive demo $(if $(wildcard runs/demo/demo.json),--fresh)

# SpikingJelly, snnTorch, Norse, Sinabs and what they import, without dependencies, in an environment of their own
peers: $(VENV)/.core
	$(BIN)/python benchmarks/peers.py

test: $(VENV)/.test
	$(PYTEST)

test-all: $(VENV)/.dev
	$(PYTEST) -m ''

check: lint types layers sizes triton cross sanitize fuzz doctest docs wheel

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/pyright

layers: $(VENV)/.dev
	$(BIN)/lint-imports

sizes: $(VENV)/.dev
	$(BIN)/python tools/check_sizes.py

# in Triton's interpreter where there is no GPU; apart from the tests, which should not wait for a download of 286 MB
triton: $(VENV)/.dev
	$(PYTEST) -m triton tests/ops

# for this machine's own instruction sets: the same two with `here`
cross: $(VENV)/.core
	$(BIN)/python tools/compare_isas.py arm64
	$(BIN)/python tools/compare_engine.py arm64

# the engine; for the scans compare_isas.py with `sanitizers`
sanitize: $(VENV)/.core
	$(BIN)/python tools/compare_engine.py sanitizers

# the programs of the tests are what it starts from
fuzz: $(VENV)/.core
	$(BIN)/python tools/fuzz_loader.py 60

doctest: $(VENV)/.dev
	$(BIN)/python -m pytest --doctest-modules src -q

# the examples in the pages are run by the tests
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: $(VENV)/.dev
	$(BIN)/python tools/try_wheel.py

# no speed is printed while the tests are red
bench: test
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/engine.py
	-$(BIN)/python benchmarks/engine_choice.py
	$(BIN)/python benchmarks/engine_figures.py
	$(BIN)/python benchmarks/neurons.py
	$(BIN)/python benchmarks/neuron_figures.py
	$(BIN)/python benchmarks/tables.py

# goes on where it was interrupted; all of them take about ten hours of one core
cards: $(VENV)/.core
	$(BIN)/python benchmarks/train_cards.py $(NAME)
	$(BIN)/python benchmarks/write_cards.py $(NAME)

clean:
	rm -rf build dist site .pytest_cache .ruff_cache .import_linter_cache .hypothesis
