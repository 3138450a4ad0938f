# Needs make and Python 3.11 or newer; everything else goes into .venv. uv is used when it is there.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && command -v "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Files of tests go to as many processes as there are cores; WORKERS=0 keeps them in one.
WORKERS ?= auto

# An older uv does not know dependency groups; pip then does the work.
UV := $(shell uv pip install --help 2>/dev/null | grep -q -e --group && echo uv)
# Hard links into uv's cache break nltk, which llama-index imports.
export UV_LINK_MODE := copy

ifdef UV
INSTALL := VIRTUAL_ENV=$(CURDIR)/$(VENV) uv pip install --quiet
INSTALLER := $(VENV)/.created
else
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
INSTALLER := $(VENV)/.pip-ready
endif

# Addresses of package indexes, and options that would hold one.
INDEX_URL := https?://[^ ]*(pypi|pythonhosted|artifactory|/simple(/|["' ]|$$))|--(extra-)?index-url

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test check check-index-urls chaos bench build docs references constraints clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sort | \
		awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo-ready ## Run the demo on a simulated provider: budgets, fallback, cache, and a report to open in a browser
	@$(BIN)/llmcost demo

# REQUIRE_SERVERS=1 in the environment makes tests of a store fail, not skip, when its server is missing.
test: $(VENV)/.dev-ready ## Run the tests with branch coverage; PYTEST_ARGS="-k word" narrows them
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term $(PYTEST_ARGS)

check: $(VENV)/.dev-ready check-index-urls ## Run formatter, linter, type checker and import rules
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

# New files count before they are added; an unpacked source archive has no list of tracked files.
check-index-urls:
	@! git rev-parse --is-inside-work-tree >/dev/null 2>&1 || \
		! git --no-pager grep -nIE --untracked -e '$(subst ','\'',$(INDEX_URL))' -- . || \
		{ echo 'error: these lines name a package index; the choice belongs to the user' >&2; exit 1; }

chaos: $(VENV)/.dev-ready ## Run the long form of the tests with several processes, and kill 200 of them
	@$(BIN)/python -m pytest tests/processes --long -s $(PYTEST_ARGS)

# Benchmarks are files bench_*.py with test functions; their name keeps them out of `make test`.
bench: $(VENV)/.dev-ready ## Run the benchmarks and print what they measured
	@$(BIN)/python -m pytest tests/benchmarks -o python_files='bench_*.py' --timeout=1800 -q -s $(PYTEST_ARGS)

build: $(VENV)/.dev-ready ## Build the wheel and the source archive into dist/
	@$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@ls dist

docs: $(VENV)/.dev-ready ## Build the documentation into build/docs; any warning is an error
	@$(BIN)/python tools/make_references.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict
	@echo build/docs/index.html

references: $(VENV)/.dev-ready ## Write docs/settings.md and docs/cli.md anew, of the code
	@$(BIN)/python tools/make_references.py

# Pins every version that the tests run with, for all supported Pythons and systems at once.
constraints: ## Bring constraints.txt up to date (needs uv)
	@uv pip compile --quiet --upgrade pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--no-emit-index-url --no-annotate --no-header --output-file constraints.new >/dev/null
	@{ echo '# Written by `make constraints`: the versions that the tests run with.'; cat constraints.new; } > constraints.txt
	@rm constraints.new
	@! grep -n '://' constraints.txt

clean: ## Remove everything that the other targets made
	@rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .benchmarks .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -type d -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo 'error: Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, $(PYTHON) is %d.%d" % sys.version_info[:2])'
	@echo "Creating $(VENV) …"
	@rm -rf $(VENV)
ifdef UV
	@uv venv --quiet --python "$(PYTHON)" $(VENV)
else
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
endif
	@touch $@

# The pip inside Python 3.11 does not know dependency groups; 25.1 is the first that does. A .venv that
# uv made has no pip until ensurepip, which every Python that has pip brings, puts it there.
$(VENV)/.pip-ready: $(VENV)/.created
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(INSTALL) --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo-ready: pyproject.toml constraints.txt $(INSTALLER)
	@echo 'Installing the package and what its demo needs …'
	@$(INSTALL) -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev-ready: pyproject.toml constraints.txt $(INSTALLER)
	@echo 'Installing the package, all extras and the development tools …'
	@$(INSTALL) -c constraints.txt -e '.[all]' --group dev
	@touch $@ $(VENV)/.demo-ready
