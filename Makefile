# Every target is a thin call of the tool; `superagent --help` says more.
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip install -q --disable-pip-version-check
ARGS ?=

.PHONY: up down test lint bench mutants soak

.venv/.runtime: requirements.txt service/requirements.txt infra/requirements.txt constraints.txt infra/local/parts.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is older than 3.11 or missing; install Python 3.11, or name one: make PYTHON=..." >&2; exit 2; }
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "Creating .venv"; $(PYTHON) -m venv .venv; } || \
	{ echo "No virtual environment could be made; on Debian: apt install python3-venv" >&2; exit 2; }
	@echo "Installing requirements (once; a few minutes at most)"
	@$(PIP) --require-hashes --no-deps -r infra/local/parts.txt || { $(OFFLINE); }
	@$(PIP) -c constraints.txt -r requirements.txt || { $(OFFLINE); }
	@$(PIP) --no-deps -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	@$(PIP) -c constraints.txt -r requirements-dev.txt || { $(OFFLINE); }
	@touch $@

OFFLINE := echo "Installing failed: the package index cannot be reached or lacks a pinned version; check the \
network or pip's index settings, then run make again." >&2; exit 2

up: .venv/.runtime
	@.venv/bin/superagent up $(ARGS)

down:
	@if test -x .venv/bin/superagent; then .venv/bin/superagent down $(if $(PURGE),--purge) $(ARGS); \
	else echo "Nothing was running: there is no .venv yet."; fi

test: .venv/.dev
	$(PY) -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not soak" $(ARGS)

lint: .venv/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/actionlint -shellcheck .venv/bin/shellcheck
	.venv/bin/zizmor --offline --no-progress -q --persona pedantic .github

bench: .venv/.dev
	$(PY) -m tests.benchmarks $(ARGS)

mutants: .venv/.dev
	$(PY) -m tests.mutations $(ARGS)

soak: .venv/.dev
	$(PY) -m tests.soak $(ARGS)
	$(PY) -m pytest -m soak
