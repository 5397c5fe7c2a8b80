# Everything a newcomer needs; each target does its own set-up on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-tl3 lint pocket benchmarks figures chromium clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	@echo "setting up $(VENV): a few minutes, once"
	$(PYTHON) -m venv $(VENV)
	@# torch first and pinned: other builds bring gigabytes of CUDA packages to a CPU machine.
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/python -m analyses.homeostasis

# One thread a process: on matrices as small as those of the tests, more of them only wait.
test: export OMP_NUM_THREADS = 1
test: setup chromium
	$(BIN)/python -m pytest -n 2 --dist loadscope
	$(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=900 notebooks -p no:cacheprovider

# A second environment beside the first: transformer-lens 3, whose HookedTransformer researchers
# still have. It sees the first one's packages, so that torch is not installed twice.
TL3 := .venv-tl3
TL3_READY := $(TL3)/.ready

$(TL3_READY): $(READY)
	$(PYTHON) -m venv $(TL3)
	$(TL3)/bin/python -m pip install --quiet --no-deps --ignore-installed \
		'transformer-lens==3.9.*' better-abc fancy_einsum
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > \
		"$$($(TL3)/bin/python -c 'import site; print(site.getsitepackages()[0])')/zz_shared.pth"
	@touch $@

test-tl3: setup $(TL3_READY)
	$(BIN)/python tests_tl3/reference.py build/tl3
	TL3_REFERENCE=build/tl3 $(TL3)/bin/python -m pytest tests_tl3 -q -o addopts= -p no:cacheprovider

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Figures for paper and the test that opens the report need a Chromium; Debian's is enough.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
		{ command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium; } || \
		{ echo "install Chromium (Debian: apt-get install chromium), then try again"; exit 1; }

pocket: setup
	$(BIN)/python -m tl_geometry.pocket.train --all

benchmarks: setup
	$(BIN)/python -m benchmarks homeostasis
	$(BIN)/python -m benchmarks generation
	$(BIN)/python -m benchmarks loading
	$(BIN)/python -m benchmarks steering

clean:
	rm -rf $(VENV) $(TL3) build runs
