# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/coverage run -m pytest

# Each worker starts an object store and trains a model, so more than four workers help little.
# The tests of a file run on one worker. tests/conftest.py orders the files.
PARALLEL := -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

# Tests draw the same random values in each run; `make test TEST_SEED=2` draws others.
export TEST_SEED ?= 1
export PYTHONHASHSEED ?= $(TEST_SEED)

.PHONY: help setup demo test test-deep test-real check docs site bench bench-images mutants local lock pin-images clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/installed  ## make .venv, and find, download or build the Pulumi CLI

.venv/installed: requirements/dev.txt pyproject.toml tools/venv.sh
	@tools/venv.sh $(PYTHON)
	@$(BIN)/python -m tools.pulumi_cli
	@touch $@

demo: setup  ## the whole loop on this machine: collect, train, release, post
	@$(BIN)/python -m demo

test: setup  ## the tests, with coverage
	@$(PYTEST) -m "not deep and not real" $(PARALLEL) --durations=10
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

test-deep: setup  ## the long tests
	@$(BIN)/pytest -m "deep and not real" --durations=10

test-real: setup  ## the tests with real tools (Docker, a registry, gcsfuse): as root on Debian
	@$(BIN)/pytest -m real --durations=10

check: setup  ## style, types, imports, scripts, workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/shellcheck stacks/scripts/*.sh tools/*.sh trainer_image/*.sh
	@$(BIN)/hadolint */Dockerfile
	@$(BIN)/zizmor --quiet --offline --min-severity medium .github
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.renovate renovate.json

docs: setup  ## regenerate pages: configuration, permissions, alerts, curation, coverage, samples, inventories
	@$(BIN)/python -m stacks.reference
	@$(BIN)/python -m tests.stacks.permissions
	@$(BIN)/python -m tests.stacks.inventories
	@$(BIN)/python -m tests.stacks.alerts_page
	@$(BIN)/python -m tests.pipeline.curation_page
	@$(BIN)/python -m tests.contracts.coverage
	@$(BIN)/python -m tests.demo.samples_page

site: setup  ## build the documentation site in site/, and check its links
	@$(BIN)/python tools/site.py

bench: setup  ## measure the program and its flat twins, judging and collecting: an hour on an idle machine
	@$(BIN)/python -m benchmarks.program
	@$(BIN)/python -m benchmarks.pace
	@$(BIN)/python -m benchmarks.judging
	@$(BIN)/python -m benchmarks.collect

bench-images: setup  ## measure size, start and memory of the images: minutes, as root, with Docker
	@$(BIN)/python -m benchmarks.images

mutants: setup  ## change the code in 300 places, and list the changes that no test notices: 40 minutes
	@$(BIN)/python -m tools.mutants

local: setup  ## start the local cloud
	@$(BIN)/python -m local up

# One lock file per image, and one for development. They have hashes, and no registry's name.
# Locked versions stay if pyproject.toml allows them. `make lock UPGRADE=--upgrade` raises all.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(UPGRADE)
lock: setup  ## lock the dependency groups of pyproject.toml
	for group in scraper control deploy sbom dev; do $(LOCK) --group $$group \
		--override requirements/override-cpu.in --output-file requirements/$$group.txt; done
	$(LOCK) --group app --override requirements/override-app.in --output-file requirements/app.txt
	$(LOCK) --group trainer --override requirements/override-gpu.in \
		--output-file requirements/trainer.txt

pin-images:  ## raise the base images to their newest patch release, and pin their digests
	@$(PYTHON) tools/pin_images.py

clean:  ## stop the local cloud and remove what it, the tests and the site left; keep .venv and .cache
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local down; fi
	rm -rf site .local .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
