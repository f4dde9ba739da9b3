# Everything a newcomer needs: `make demo` and `make test` set themselves up.
# ARGS goes on to the program, e.g. `make demo ARGS=--json` or `make test ARGS="tests/golden -x"`.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
ARGS ?=
BIN := $(VENV)/bin
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# One thread a process: tiny models are many times slower when two processes' threads fight for the same cores.
QUIET := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format docs bench-forgetting bench-sdft bench-reflect bench-rrr bench-generation bench-tweets \
	bench-dedup bench-pii bench-prepare bench-weak-labels bench-serve clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

demo: $(CORE) ## Install, then learn three skills in a row from the embedded base and show what was kept
	$(BIN)/holdfast demo $(ARGS)

test: $(DEV) ## Install, then the whole test suite
	$(QUIET) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(DEV) ## Ruff, pyright and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(DEV) ## Let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV) ## Write docs/reference/ anew from the code
	$(QUIET) $(BIN)/python docs/generate.py

bench-forgetting: $(DEV) ## What each part protects: seven ways to learn three skills, each with its own learning rates
	$(BIN)/python bench/forgetting.py $(ARGS)

bench-sdft: $(DEV) ## One SDFT step of ours beside TRL's: time and peak memory
	$(BIN)/python bench/sdft_vs_trl.py $(ARGS)

bench-reflect: $(DEV) ## What Reflect, Retry, Reward teaches, beside the controls that could explain it away
	$(BIN)/python bench/reflect.py $(ARGS)

bench-rrr: $(DEV) ## One step of Reflect, Retry, Reward beside TRL's GRPO trainer: time and peak memory
	$(BIN)/python bench/rrr_vs_trl.py $(ARGS)

bench-generation: $(DEV) ## Our generator beside transformers' own batching
	$(BIN)/python bench/generation.py $(ARGS)

bench-tweets: $(DEV) ## Real tweets classified, beside the most frequent class and TF-IDF: ARGS="--data FOLDER"
	$(BIN)/python bench/tweets.py $(ARGS)

bench-dedup: $(DEV) ## Duplicates: quality on labelled pairs, speed beside datasketch, rensa and datatrove: ARGS="--quality --data FOLDER"
	$(BIN)/python bench/dedup.py $(ARGS)

bench-pii: $(DEV) ## Personal data found in synthetic texts, beside Presidio: ARGS="--data FOLDER"
	$(BIN)/python bench/pii.py $(ARGS)

bench-prepare: $(DEV) ## A whole preparation: rows a second, and memory as the data grows
	$(BIN)/python bench/prepare.py $(ARGS)

bench-weak-labels: $(DEV) ## What a label model gains over a majority vote on real tweets: ARGS="--data FOLDER"
	$(BIN)/python bench/weak_labels.py $(ARGS)

bench-serve: $(DEV) ## Serving beside transformers serve: requests, tokens and the first token, at 1, 8 and 32 streams
	$(BIN)/python bench/serve.py $(ARGS)

clean: ## Remove the environment and every cache
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Holdfast needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is another. Say which: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp is written when an install is complete, and is out of date when either file below has changed since.
$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Holdfast into $(VENV); this happens once."
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Holdfast and its development tools into $(VENV); this happens once."
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $(CORE) $@
