# `make demo` and `make test` are the two commands; both set up .venv first, on any fresh machine
# with Python 3.11 or newer, a C++ compiler and a package registry.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN := $(BIN)/python
# One file at a time on each core; more threads than cores make torch's loops wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 2 --dist loadfile
PIP := $(RUN) -m pip --disable-pip-version-check -q
BUILD_INPUTS := $(wildcard csrc/*.[ch]pp csrc/python/*.[ch]pp) setup.py pyproject.toml constraints.txt

.PHONY: help venv format lint types test test-full check demo results sanitize fuzz bench-rank clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

venv: $(READY) ## set up .venv with pinned versions and the compiled ranker
$(READY): $(BUILD_INPUTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dsah needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (a few minutes the first time)"
	@$(PIP) install -c constraints.txt setuptools wheel pybind11
	@$(PIP) install -c constraints.txt torch
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

format: $(READY) ## rewrite Python and C++ in house style
	@$(BIN)/ruff check --fix-only -q . ; $(BIN)/ruff format -q . ; $(BIN)/clang-format -i $$(find csrc -name '*.[ch]pp')

lint: $(READY) ## format, lint and types, as CI runs them
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/clang-format --dry-run -Werror $$(find csrc -name '*.[ch]pp')
	@$(BIN)/mypy && $(BIN)/mypy --strict tests/typing_surface.py

test: $(READY) ## the fast suite (within 15 minutes on 2 cores)
	@$(PYTEST)

test-full: $(READY) ## every test, with the long counts (about an hour)
	@$(PYTEST) -m ''

demo: $(READY) ## train, export, index, search, pictures; DATA=folder-or-archive for your own
	@$(RUN) examples/demo.py --out demo $(if $(DATA),--data '$(DATA)')

results: $(READY) ## measure every figure that has no file yet (hours; resumable); DATA_DIR=folder
	@$(RUN) results/run.py $(if $(DATA_DIR),--data '$(DATA_DIR)')

sanitize: ## the C++ core under ASan, UBSan and TSan
	@$(MAKE) -s -C csrc OUT=../build/asan FLAGS="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all" test
	@$(MAKE) -s -C csrc OUT=../build/tsan FLAGS="-O1 -fsanitize=thread" test

fuzz: ## open a million mutated index files under ASan and UBSan; the result is kept
	@$(MAKE) -s -C csrc OUT=../build/asan FLAGS="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all" ../build/asan/fuzz_file
	@mkdir -p build && build/asan/fuzz_file 1000000 > build/fuzz.txt
	@{ cat build/fuzz.txt; echo "commit $$(git rev-parse --short HEAD)"; $(CXX) --version | head -1; \
	  sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1; } > bench/results/fuzz.txt
	@cat bench/results/fuzz.txt

bench-rank: $(READY) ## the ranker against FAISS and USearch; wants a quiet machine
	@$(RUN) bench/rank.py $(if $(QUICK),--quick)

check: lint test ## what CI runs

clean: ## remove builds and caches, keep .venv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
