# Every target does all of its own set-up, in .venv.
#   make demo               a voice sounds happier; IN=your.wav takes your recording
#   make demo-step-audio    the same on the step-audio engine with tiny random weights: noise
#   make test               the whole suite
#   make check              ruff, ruff format, mypy --strict, bandit, the layering test
# PYTHON=... names an interpreter (3.10 or later, with venv).

IN ?= examples/audio/good-morning.wav
OUT ?= out

CANDIDATES := python3 python3.13 python3.12 python3.11 python3.10 python
NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c "$(NEW_ENOUGH)" >/dev/null 2>&1 && echo $(p))))

VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo demo-step-audio test check clean

demo: $(VENV)/base.done
	@$(BIN)/stepedit-fx run quickstart "$(IN)" -o "$(OUT)"

demo-step-audio: $(VENV)/dev.done
	@$(BIN)/python tests/make_tiny_checkpoint.py build/tiny-models
	@STEPEDIT_MODELS=build/tiny-models $(BIN)/stepedit-fx run quickstart "$(IN)" -o "$(OUT)" \
	  --engine step-audio

test: $(VENV)/dev.done
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone

check: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --severity-level medium stepedit_fx
	$(BIN)/python -m pytest tests/test_layers.py

clean:
	rm -rf $(VENV) out build dist

$(VENV)/base.done: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(INSTALL) -e .
	@touch $@

$(VENV)/dev.done: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(INSTALL) -e ".[align,asr,dev,espeak,live,mdns,midi,step-audio]"
	@touch $@ $(VENV)/base.done

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "No Python 3.10 or later with the venv module was found." \
	  "Install one (Debian and Ubuntu: apt install python3-venv) or say make PYTHON=/path/to/python3." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
