# Needs make and Python 3.11 or newer. Everything is installed into .venv, with the versions of constraints.txt.
#   make demo PYTHON=python3.12     another interpreter than python3

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
# py_vollib_vectorized needs a py_lets_be_rational that py_vollib's own dependency would overwrite: it gets a separate folder.
BESIDE := $(VENV)/beside
BESIDE_PINS := py_vollib_vectorized==0.1.1 py_lets_be_rational==1.0.1
RESULTS := build/benchmarks.json
DEMO := demo-result
LOWEST := .venv-lowest
# Test files go side by side, two at a time: more would only wait for memory and disk on a small machine.
WORKERS := 2
# The longest test takes two minutes on a busy machine; one that hangs fails, and says where.
TESTED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder --timeout=600

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-lowest coverage lint docs site notebook bench bench-check bench-scale clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | \
		while IFS='|' read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.installed ## install, run the wheel on the demo market, say where the result lies
	@$(BIN)/wheelvec demo --out $(DEMO)
	@printf '\nNext: source $(BIN)/activate, then wheelvec --help (or $(BIN)/wheelvec --help)\n'

test: $(VENV)/.installed-dev ## install for development, run the tests but the slow ones
	@$(BIN)/python -m pytest -m "not slow and not notebook" $(TESTED)

test-slow: $(VENV)/.installed-dev ## the slow tests
	@$(BIN)/python -m pytest -m slow

test-lowest: $(LOWEST)/.installed ## the tests with the oldest versions that pyproject.toml admits
	@$(LOWEST)/bin/python -m pytest -m "not slow and not notebook" $(TESTED) --ignore=tests/test_docs.py --ignore=tests/test_docs_pictures.py --ignore=tests/test_docs_site.py --ignore=tests/test_benchmarks.py --ignore=tests/inference/test_docs_luck.py

# Compiled code is not traced: what is worked by hand of the kernels runs once more as plain Python.
coverage: $(VENV)/.installed-dev ## which lines the tests reach: a table, and build/coverage/index.html
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest -m "not slow and not notebook" -q --cov --cov-report=
	@NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q tests/kernels --cov --cov-append --cov-report=
	@$(BIN)/python -m coverage html -q -d build/coverage
	@$(BIN)/python -m coverage report --skip-covered

docs: $(VENV)/.installed-dev ## write anew what a run produces: the reference, tables, outputs of pages and notebooks
	@$(BIN)/python -m tests.docs_reference
	@$(BIN)/python -m tests.docs_names
	@$(BIN)/python -m tests.docs_pictures
	@$(BIN)/python tests/docs_costs.py

site: $(VENV)/.installed-dev ## the documentation as a site that asks nobody for anything: build/site/index.html
	@$(BIN)/python -m tests.docs_site

lint: $(VENV)/.installed-dev ## format, lint and types
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@$(BIN)/typos

notebook: $(VENV)/.installed-dev ## execute the notebooks; an error or another output than they show fails
	@$(BIN)/python -m pytest -q -m notebook -n $(WORKERS) --timeout=600 tests/test_docs.py

bench: $(VENV)/.installed-rivals ## measure against what else installs (half an hour), write docs/performance.md
	@mkdir -p $(dir $(RESULTS))
	@PYTHONPATH=$(BESIDE) $(BIN)/python -m pytest benchmarks --benchmark-json=$(RESULTS) --benchmark-quiet
	@$(BIN)/python -m benchmarks.check --record
	@$(BIN)/python -m benchmarks.report $(RESULTS)

bench-check: $(VENV)/.installed-dev ## the benchmarks in short: results agree; a ratio that has halved is told
	@$(BIN)/python -m pytest benchmarks --short --benchmark-disable --timeout=900
	@$(BIN)/python -m benchmarks.check

bench-scale: $(VENV)/.installed-dev ## ten years of a hundred underlyings (twenty minutes, 4 GB of disk), into docs/performance.md
	@$(BIN)/python -m benchmarks.scale
	@$(BIN)/python -m benchmarks.report

clean: ## remove caches, build artefacts and the demo's result (the environment and your data stay)
	@rm -rf build *.egg-info $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache .cache
	@find wheelvec tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +
	@rm -f $(VENV)/.installed $(VENV)/.installed-dev $(VENV)/.installed-rivals

# Stamps: a second call is instant; a change of the pins or of the package's metadata installs again.
$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.created
	@echo "installing wheelvec into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt $(VENV)/.created
	@echo "installing wheelvec for development into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-rivals: pyproject.toml constraints.txt $(VENV)/.installed-dev
	@echo "installing what wheelvec is compared with into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e ".[dev,rivals]"
	@rm -rf $(BESIDE)
	@$(PIP) install --no-deps --target $(BESIDE) $(BESIDE_PINS)
	@touch $@

# The pins of constraints.txt, but for those that constraints-lowest.txt states itself.
$(LOWEST)/.installed: pyproject.toml constraints.txt constraints-lowest.txt
	@echo "installing the oldest versions into $(LOWEST) ..."
	@mkdir -p build
	@awk -F== '{ name = tolower($$1); gsub(/[-_.]+/, "-", name) } NR == FNR { low[name]; next } !(name in low)' constraints-lowest.txt constraints.txt > build/constraints-rest.txt
	@"$(PYTHON)" -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check --no-input --quiet install \
		-c constraints-lowest.txt -c build/constraints-rest.txt -e ".[dev]"
	@touch $@

# An environment that is already there and has pip is taken as it is.
$(VENV)/.created:
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		command -v "$(PYTHON)" >/dev/null || { \
			echo "wheelvec needs Python 3.11 or newer, and $(PYTHON) is not found; name one: make PYTHON=python3.12 ..." >&2; exit 1; }; \
		"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
			echo "wheelvec needs Python 3.11 or newer, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1); name another: make PYTHON=python3.12 ..." >&2; exit 1; }; \
		echo "creating $(VENV) with $$("$(PYTHON)" --version 2>&1) ..."; \
		"$(PYTHON)" -m venv $(VENV); }
	@touch $@
