# make demo | make demo-train | make test | make test-slow | make test-browser | make attack | make attack-full | make docs
# make test-docs | make lint | make package | make clean
# Each sets up .venv on its first call (no root, nothing outside this folder) and starts at once on the next.

VENV := .venv
PY := $(VENV)/bin/python
# The name of the stamp holds what the environment depends on, so that touching or cloning files changes nothing.
STAMP := $(VENV)/ready-$(shell (cat requirements.txt requirements.lock setup.cfg pyproject.toml; pwd) | cksum | cut -d' ' -f1)
SUITABLE := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
# The hashes are those of wheels for Linux on x86-64; elsewhere the same versions are installed without them.
LOCK_FITS := import platform as p, sys; name, version = p.libc_ver(); \
	sys.exit(not ((sys.platform, p.machine(), name) == ("linux", "x86_64", "glibc") \
	and tuple(map(int, version.split(".")[:2])) >= (2, 28)))
EXAMPLE := examples/greensleeves_violin.musicxml
PYTEST_ARGS ?=

export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help demo demo-train test test-slow test-browser attack attack-full docs test-docs linkcheck lint package clean

help:
	@sed -n '1,3s/^# //p' Makefile

# A name on the path is not yet a Python that runs: version managers leave shims that only print an error.
$(STAMP):
	@set -e; \
	if ! $(PY) -c 'import pip; $(SUITABLE)' 2>/dev/null; then \
	  found=; \
	  for python in $(PYTHON) python3.12 python3.11 python3 python; do \
	    if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then found="$$python"; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "no working Python 3.11 or 3.12 with venv: install one (Debian: python3 and python3-venv)," \
	      "or name one with make PYTHON=/path/to/python3" >&2; exit 1; \
	  fi; \
	  echo "setting up $(VENV) with $$found (a few minutes, once)"; \
	  "$$found" -m venv --clear $(VENV); \
	fi; \
	packages="--requirement requirements.txt"; \
	if $(PY) -c '$(LOCK_FITS)'; then \
	  packages="--require-hashes --only-binary=:all: --requirement requirements.lock"; \
	fi; \
	$(PY) -m pip install --quiet --disable-pip-version-check $$packages; \
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	rm -f $(VENV)/ready-*; \
	touch $@

# The shipped violin; demo-train makes a voice of its own first.
demo: $(STAMP)
	$(PY) tools/perform.py --model=violin --score=$(EXAMPLE) --out=work/demo/performance.wav --plot=work/demo/performance.png
	@echo "listen to work/demo/performance.wav, look at work/demo/performance.png"

demo-train: $(STAMP)
	rm -rf work/demo
	$(PY) tools/make_demo_corpus.py --out=work/demo/corpus
	$(PY) -m pnet_tf.prepare --instrument=violin --source=work/demo/corpus --out=work/demo/data
	$(PY) -m pnet_tf.train --flagfile=configs/smoke.flags --data=work/demo/data --run_dir=work/demo/run
	$(PY) tools/export_savedmodel.py --run_dir=work/demo/run --out=work/demo/model
	$(PY) tools/perform.py --model=work/demo/model --score=$(EXAMPLE) --out=work/demo/performance.wav --plot=work/demo/performance.png
	@echo "listen to work/demo/performance.wav, look at work/demo/performance.png"

test: $(STAMP)
	$(PY) -m pytest -q $(PYTEST_ARGS)

test-slow: $(STAMP)
	$(PY) -m pytest -q -m slow $(PYTEST_ARGS)

# Debian's Chromium, for its own download is not to be counted on; where it is missing only root can bring it.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

test-browser: $(STAMP)
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint requirements.txt \
	  --requirement requirements-demo.txt --requirement requirements-browser.txt
	@if [ -z "$(CHROMIUM)" ]; then \
	  if [ "$$(id -u)" != 0 ]; then echo "no Chromium: install one (Debian: apt-get install chromium)" >&2; exit 1; fi; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; \
	fi
	$(PY) -m pytest -q -m browser $(PYTEST_ARGS)

# Readers get ATTACK_SEC seconds in all; the tests marked attack as long as they take. The full run goes on where it stopped.
ATTACK_SEC ?= 330
ATHERIS := $(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements-attack.txt \
	|| echo "no atheris for this machine: readers are attacked without the guidance of coverage" >&2

attack: $(STAMP)
	@$(ATHERIS)
	$(PY) -m tests.attack --seconds=$(ATTACK_SEC) --out=work/attack-sample

attack-full: $(STAMP)
	@$(ATHERIS)
	$(PY) -m tests.attack --full --seconds=172800 --out=work/attack

# The documentation as a site in build/site, built offline: every warning is an error, as is anything fetched from elsewhere.
docs: $(STAMP)
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint requirements.txt --requirement requirements-docs.txt
	$(PY) -m sphinx -n -W --keep-going -q -b html -c docs/site -d build/doctrees . build/site
	$(PY) -m tests.docs_site build/site

# The notebook, cell by cell, and a site with a broken link.
test-docs: docs
	$(PY) -m pytest -q -m docs $(PYTEST_ARGS)

# Asks every outside address that the documentation names; the only target that needs a network.
linkcheck: docs
	$(PY) -m sphinx -q -b linkcheck -c docs/site -d build/doctrees . build/linkcheck

lint: $(STAMP)
	$(PY) -m ruff check pnet_tf tests tools

# Wheel and sdist, by the tools that upload them; in an environment of their own, so that .venv stays the pinned one.
package: $(STAMP)
	rm -rf dist work/package
	$(PY) -m venv work/package
	work/package/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-package.txt
	work/package/bin/python -m build --outdir dist
	work/package/bin/python -m twine check --strict dist/*
	work/package/bin/cffconvert --validate
	rm -rf work/package
	@ls -l dist

clean:
	rm -rf work/demo build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find pnet_tf tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
