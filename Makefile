# Everything a newcomer needs: `make demo`, then `make test`. Each sets itself up.
PYTHON ?= python3
TORCH  ?= torch>=2.6,<2.14
CORE   := .venv
DEV    := .venv-dev
PEERS  := .venv-peers
BENCH  := .venv-rewardbench

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-browser test-peers lint fix bench bench-training clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(CORE)/.ready  ## judge a few prompts with the shipped model (installs the core alone: no torch)
	@PATH="$(CURDIR)/$(CORE)/bin:$$PATH" examples/demo.sh

test: $(DEV)/.ready  ## run the test suite (installs everything; under 10 minutes on 2 cores)
	$(DEV)/bin/python -m pytest -m "not slow and not peers and not browser"

test-slow: $(DEV)/.ready  ## run the tests that take minutes
	$(DEV)/bin/python -m pytest -m "slow and not peers and not browser"

test-browser: $(DEV)/.ready  ## run the page in Chromium (CHROMIUM=PATH, one on the path, or Playwright's, which this installs)
	$(DEV)/bin/pip install --quiet --disable-pip-version-check "playwright>=1.45"
	@[ -n "$$CHROMIUM" ] || command -v chromium >/dev/null || $(DEV)/bin/playwright install --with-deps chromium
	$(DEV)/bin/python -m pytest -m browser

test-peers: $(PEERS)/.ready $(BENCH)/.ready  ## run TinyRM in TRL, sentence-transformers, rewardbench and Ray (installs them)
	REWARDBENCH=$(CURDIR)/$(BENCH)/bin/rewardbench $(PEERS)/bin/python -m pytest -m peers

lint: $(DEV)/.ready  ## check style, types and the direction of imports
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

fix: $(DEV)/.ready  ## mend what ruff can
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

bench: $(DEV)/.ready  ## measure start-up on this machine, into benchmarks/startup.csv
	$(DEV)/bin/python benchmarks/startup.py

bench-training: $(DEV)/.ready  ## measure training beside the obvious ways (half an hour), into benchmarks/*.csv and *.png
	$(DEV)/bin/pip install --quiet --disable-pip-version-check "trl>=1.0" datasets
	$(DEV)/bin/python benchmarks/training.py
	$(DEV)/bin/python benchmarks/training.py --shape modernbert-base --only naive dora "dora, frozen" "dora, cached prefix"
	$(DEV)/bin/python benchmarks/step.py

clean:  ## remove what was installed and built here
	rm -rf $(CORE) $(DEV) $(PEERS) $(BENCH) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(CORE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(CORE)
	$(CORE)/bin/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(DEV)/bin/pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

$(PEERS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -e ".[dev,ray]" "sentence-transformers>=5.4" "trl>=1.0" datasets
	@touch $@

# rewardbench wants transformers 4.51, which TinyRM does not; and pkg_resources, which setuptools has dropped.
$(BENCH)/.ready:
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check "$(TORCH)" "setuptools<81"
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check rewardbench==0.1.4
	@touch $@
