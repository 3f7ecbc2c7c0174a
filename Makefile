# `make demo` and `make test` do all their own set-up; `make help` tells the rest.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/coverage run -m pytest

.PHONY: help setup demo test test-deep test-real check docs bench bench-images local lock pin-images clean

help:  ## tell what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/installed  ## make .venv, and find or make the Pulumi CLI

.venv/installed: requirements/dev.txt pyproject.toml tools/venv.sh
	@tools/venv.sh $(PYTHON)
	@$(BIN)/python -m local.pulumi install
	@touch $@

demo: setup  ## the whole loop on this machine: collect, train, release, post
	@$(BIN)/python -m demo

test: setup  ## the tests, with coverage
	@$(PYTEST) -m "not deep and not real" --durations=10
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

test-deep: setup  ## the long proofs
	@$(BIN)/pytest -m "deep and not real" --durations=10

test-real: setup  ## the proofs with real tools: Docker, a registry, gcsfuse
	@$(BIN)/pytest -m real --durations=10

check: setup  ## style, types, scripts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/shellcheck stacks/scripts/*.sh tools/*.sh trainer_image/*.sh
	@$(BIN)/hadolint */Dockerfile

docs: setup  ## write again what is generated: stack file's reference, permissions, inventories
	@$(BIN)/python -m stacks.reference
	@$(BIN)/python -m tests.stacks.permissions
	@$(BIN)/python -m tests.stacks.inventories

bench: setup  ## measure the program beside its flat twin, and judging: an hour, on a quiet machine
	@$(BIN)/python -m benchmarks.program
	@$(BIN)/python -m benchmarks.pace
	@$(BIN)/python -m benchmarks.judging

bench-images: setup  ## size, start and memory of the images: minutes, as root, with Docker
	@$(BIN)/python -m benchmarks.images

local: setup  ## start the local cloud
	@$(BIN)/python -m local up

# One lock file per image, and one for a whole machine; hashes, and no registry's name.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock: setup  ## lock the dependency groups of pyproject.toml again
	for group in scraper app control deploy sbom dev; do $(LOCK) --group $$group \
		--override requirements/override-cpu.in --output-file requirements/$$group.txt; done
	$(LOCK) --group trainer --override requirements/override-gpu.in \
		--output-file requirements/trainer.txt

pin-images:  ## raise the images' bases to their newest patch release, and pin their digests
	@$(PYTHON) tools/pin_images.py

clean:  ## remove what the local cloud and the tests left; keep .venv and .cache
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local down; fi
	rm -rf .local .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
