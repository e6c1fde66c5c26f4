# From a fresh clone: `make book` builds the book, `make test` runs everything. Both make .venv on their own.
# Another Python or another place: make book PYTHON=python3.12 VENV=/tmp/coldlab

PYTHON ?= python3
VENV ?= .venv
CHAPTER ?=
NAME ?=
PORT ?= 8000
BIN := $(VENV)/bin

.PHONY: help install book serve pdf test execute chapter lint format clean distclean

help:
	@echo "make book      build the static book in _build/html"
	@echo "make serve     build it and serve it on http://localhost:$(PORT)"
	@echo "make pdf       the whole book as a PDF and an ePub in _build/paper; make book links to them"
	@echo "make test      run every chapter and every test"
	@echo "make execute   run the chapters again and store their outputs (CHAPTER=04_sampling for one)"
	@echo "make chapter   begin a chapter from a template (NAME=your_chapter)"
	@echo "make lint      check style; make format mends what can be mended"
	@echo "make clean     remove what is built; make distclean also the environment"

install: $(VENV)/.installed

# uv where it works, pip otherwise. One resolve for the toolchain and the package together.
$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coldlab needs Python 3.11 or newer; name one: make book PYTHON=python3.12")'
	@if uv --version >/dev/null 2>&1; then \
	  echo "installing into $(VENV) with uv"; \
	  { test -x $(BIN)/python || uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); } && \
	  uv pip install --quiet --python $(BIN)/python -r requirements.txt -e .; \
	else \
	  echo "installing into $(VENV) with pip; this takes a few minutes"; \
	  { test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); } && \
	  $(BIN)/python -m pip install --quiet -r requirements.txt -e .; \
	fi
	@touch $@

book: install
	$(BIN)/jupyter-book build . -W --keep-going
	@echo "Open $(CURDIR)/_build/html/index.html"

serve: book
	@echo "Serving http://localhost:$(PORT) (Ctrl-C ends it)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

pdf: install
	$(BIN)/python tools/pdf.py

test: install
	$(BIN)/python -m pytest --nbval -n auto --maxprocesses 4 --dist loadfile book tests

execute: install
	$(BIN)/python tools/execute.py $(CHAPTER)

chapter: install
	$(BIN)/python tools/chapter.py $(NAME)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf _build build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
