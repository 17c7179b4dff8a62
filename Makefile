# Every target is a thin call of the tool; `superagent --help` says more.
PY := .venv/bin/python
ARGS ?=

.PHONY: up down test lint bench soak

.venv/.runtime: requirements.txt service/requirements.txt constraints.txt pyproject.toml
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -r requirements.txt
	$(PY) -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	touch $@

up: .venv/.runtime
	.venv/bin/superagent up $(ARGS)

down:
	@test -x .venv/bin/superagent && .venv/bin/superagent down $(if $(PURGE),--purge) $(ARGS) || true

test: .venv/.dev
	$(PY) -m pytest -m "not soak" $(ARGS)

lint: .venv/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: .venv/.dev
	$(PY) -m tests.benchmarks $(ARGS)

soak: .venv/.dev
	$(PY) -m pytest -m soak $(ARGS)
