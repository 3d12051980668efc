# demo, test, check, bench, gpu, gpu-race: each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARALLEL := -n 2 --dist worksteal
INSTALLED := $(VENV)/.installed

unexport PYTHONDONTWRITEBYTECODE  # or hundreds of processes of the tests compile the same files

.PHONY: demo test test-all test-avx2 check bench gpu gpu-race clean

demo: $(INSTALLED)  ## search, retrain and report on the embedded digits, in under two minutes
	$(BIN)/nas search --data digits --budget 20k --trials 20 --epochs 6 --workers 2 --study demo
	$(BIN)/nas retrain --top 3 --epochs 20 --study demo
	$(BIN)/nas report --study demo

test: $(INSTALLED)  ## the quick tests
	$(BIN)/python -m pytest -q $(PARALLEL) -m "not slow"

test-all: $(INSTALLED)  ## all tests
	$(BIN)/python -m pytest -q $(PARALLEL)

test-avx2: $(INSTALLED)  ## what trains, by the convolutions of a processor without AVX-512
	@if grep -qs avx512 /proc/cpuinfo; \
	then ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -q $(PARALLEL) -m "not slow" tests/models tests/search/training; \
	else echo "left out: this processor is not known to have AVX-512, and the other tests have tested it without"; fi

check: $(INSTALLED)  ## style, types, and the floors of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## measure; see benchmarks/README.md
	$(BIN)/python benchmarks/proposals.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/trials.py

gpu: $(INSTALLED)  ## all that a machine with a GPU can tell: tests, rates, a search, a training, in five minutes
	$(BIN)/python benchmarks/gpu.py

gpu-race: $(INSTALLED)  ## which changes of the recipe pay on this machine's GPU, in at most eight minutes
	$(BIN)/python benchmarks/race.py --device cuda

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	@touch $@

clean:
	rm -rf $(VENV) build dist
