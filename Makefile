# streamgauge: `make help` lists what there is.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format bench soak quality fuzz chaos image cluster pictures audit lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(READY) ## create .venv with the pinned packages (every other target does it when needed)

$(READY): pyproject.toml requirements-dev.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] < (3,13) and "streamgauge needs Python 3.11 or 3.12: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY) ## sensors, windows and detectors live on this machine; ARGS="--seconds 60" ends by itself
	$(BIN)/streamgauge demo $(ARGS)

test: $(READY) lint ## everything that must hold: lint, types, import walls, tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY) ## ruff, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## speed of a worker beside its floor, detection, recovery, edges, pages, plan (ARGS="--only recovery")
	$(BIN)/python -m tests.bench $(ARGS)

soak: $(READY) ## a day of 10,000 sensors, 50 million readings, at full speed: memory, files, store (ARGS="--readings 5000000")
	$(BIN)/python -m tests.bench.soak $(ARGS)

quality: $(READY) ## how good the verdicts are, on public labels and simulated faults; ARGS="--only nab --quick"
	$(BIN)/python -m tests.quality $(ARGS)

fuzz: $(READY) ## a million damaged payloads through the intake: each is read or refused; guided by coverage: ARGS="--guided config"
	$(BIN)/python -m tests.fuzz $(ARGS)

chaos: $(READY) ## 100 faults under load, and the tables as if nothing had been; ARGS="--faults 21 --seed 2"
	$(BIN)/python -m tests.chaos $(ARGS)

pictures: $(READY) ## the README's pictures of the console, taken of a demo; needs Chromium
	$(BIN)/python -m tests.console.pictures

image: $(READY) ## every step of the Dockerfile in a scratch root, without a container engine (ARGS="--extras mqtt")
	$(BIN)/python -m tests.deploy.build $(ARGS)

cluster: $(READY) ## a million readings through what the StatefulSet runs, on two hosts; one is lost, then a rescale
	$(BIN)/python -m tests.deploy $(ARGS)

audit: $(READY) ## known weaknesses of the pinned packages, and a bill of materials in build/sbom.json
	$(BIN)/python -m tests.supply

lock: $(READY) ## renew both lock files from pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --all-extras -o requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements-dev.lock -o requirements.lock pyproject.toml

clean: ## remove the environment and everything the demo stored
	rm -rf $(VENV) .streamgauge .pytest_cache .mypy_cache .ruff_cache .hypothesis
