# make demo | test | test-all | bench | gpu. The environment is .venv, made on first use; PYTHON=python3.12 picks another
# interpreter to make it with.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
COMPILED := $(VENV)/.compiled

.PHONY: all demo test test-all bench gpu clean
all: $(COMPILED)

# torch first and then no build isolation: an isolated build would unpack a second torch, a minute more.
$(INSTALLED): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; run: make PYTHON=python3.11"; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: no environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 2; }
	$(PY) -m pip install --quiet "torch>=2.11,<2.14" "setuptools>=77" ninja
	$(PY) -m pip install --quiet --no-build-isolation --editable ".[test]"
	@touch $(INSTALLED) $(COMPILED)

# The installation above compiles as well: only what changed after it.
$(COMPILED): $(INSTALLED) $(wildcard csrc/*)
	@test -z "$$(find csrc -newer $@ 2>&1)" || \
	  { echo "compiling what changed in csrc/"; mkdir -p build; $(PY) setup.py --quiet build_ext --inplace >build/log 2>&1 || \
	    { cat build/log; exit 1; }; }
	@touch $(COMPILED)

demo: $(COMPILED)
	$(PY) scripts/demo.py

test: $(COMPILED)
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q -m "not slow"

test-all: $(COMPILED)
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q

bench: $(COMPILED)
	$(PY) -m pytest benchmarks --benchmark-only

# For a machine with a GPU and its own torch, with or without a package registry: PYTHON is used as it is.
# Failed tests do not keep the rest from being measured; they make the whole fail in the end.
STAGE ?= build test bench
gpu:
	@failed=0; for stage in $(STAGE); do $(PYTHON) benchmarks/gpu.py $$stage || { failed=1; \
	  test $$stage != build || break; }; done; exit $$failed

clean:
	rm -rf build dist *.egg-info jarvis_nano/*.so $(INSTALLED) $(COMPILED)
