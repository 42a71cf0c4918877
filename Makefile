# Everything a newcomer needs: `make repro` installs and runs the main job, `make test` installs and passes the tests.
PYTHON ?= python3
UI_PORT ?= 5000
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := true
export GX_ANALYTICS_ENABLED := false

.PHONY: setup repro paper peers shares test lint verdict ci newcomer ui services serve deploy worker docs lock

setup: .venv/installed  ## make .venv with what requirements.lock pins

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, set PYTHON=...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock
	@# brings torch, in the version of pyproject.toml: its builds, and so their hashes, differ by machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

repro: setup  ## the main job, as params.yaml configures it
	dvc repro

paper: setup  ## the tables and the figure of the publications, into reports/paper
	python -m flows.paper_tables

peers: setup  ## the systems of others beside ours, into reports/peers
	python -m flows.peers

shares: setup  ## accuracy by share of the training data, into reports/shares
	python -m flows.shares

test: setup  ## the tests, a file a core
	OMP_NUM_THREADS=1 python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

lint: setup  ## style and types
	ruff check .
	ruff format --check .
	mypy

verdict: setup  ## the pipeline and its gate, compared with the branch main
	python -m tools.ci

ci: lint test verdict  ## all that a pull request is held to

newcomer: setup  ## README's two commands in a fresh clone, and the steps that they print
	python -m tools.newcomer

ui: setup  ## MLflow's user interface on http://127.0.0.1:5000, or another UI_PORT
	mlflow ui --host 127.0.0.1 --port $(UI_PORT) --workers 1 --backend-store-uri "sqlite:///$(CURDIR)/mlflow.db"

services: setup  ## an MLflow and a Prefect server on loopback, until interrupted
	python -m flows.servers.services

serve: setup  ## a Prefect server and a process that serves the deployments, until interrupted
	python -m flows.servers.serve

deploy: setup  ## register the deployments of prefect.yaml for workers of the process pool local
	prefect work-pool inspect local >/dev/null 2>&1 || prefect work-pool create local --type process
	env -u ASC_WORKSPACE prefect --no-prompt deploy --all

worker: setup  ## take runs of them in this clone, one at a time, until interrupted
	ASC_WORKSPACE="$(CURDIR)" prefect worker start --pool local --type process --limit 1

docs: setup  ## the site of docs/ with the library's reference, into site/
	python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	mkdocs build --strict

lock: setup  ## pin what is installed now, by the hashes of all files of each release
	python -m pip install --quiet uv
	python -m pip freeze --exclude-editable --exclude torch --exclude uv | uv pip compile --quiet --no-deps \
		--generate-hashes --no-header --no-annotate --output-file requirements.lock -
