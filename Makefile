# SSLSegment from a fresh clone: `make demo` shows what it does, `make test` checks everything.
# Needs make and Python 3.10 to 3.12 with venv; the rest is installed into .venv, pinned by constraints.txt.

PYTHON ?= python3
PYTEST_ARGS ?= -n 2
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready
OUT := out

DATA ?= ../shared/data
WEIGHTS := $(addprefix $(OUT)/weights/,$(addsuffix .safetensors,pix2rep pix2rep-v2 hssl))

.PHONY: help demo test lint bench accuracy weights screenshots clean distclean

help:
	@echo "make demo       segments a real image from three annotated slices; see $(OUT)/demo"
	@echo "make test       checks style, types and behaviour"
	@echo "make lint       checks style and types only"
	@echo "make bench      measures speed and memory; see $(OUT)/bench"
	@echo "make weights    pretrains the weights that ship, from the scans in DATA=$(DATA); takes an hour"
	@echo "make accuracy   compares a few volumes with free tools; needs the labelled images at DATA"
	@echo "make screenshots draws the panel and views; see $(OUT)/screenshots"
	@echo "make clean      removes what the commands above wrote"
	@echo "make distclean  removes the Python environment as well"

# Installed once, and again when a requirement changes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))" || \
	  { echo "SSLSegment needs Python 3.10, 3.11 or 3.12: name one, for example make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || \
	  { echo "Python's venv module is incomplete: install it (Debian: apt install python3-venv) and run make again."; exit 1; }
	@echo "Installing into $(VENV): this takes some minutes the first time."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[slicer,dicom,benchmark,dev]"
	@touch $@

demo: $(READY)
	$(BIN)/sslseg demo -o $(OUT)/demo
	$(BIN)/python -m SSLSegmentLib.convert $(OUT)/demo/image.nrrd $(OUT)/demo/segmentation.seg.nrrd \
	  --out-dir $(OUT)/demo --formats stl --picture $(OUT)/demo/surfaces.png

test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m sslseg.benchmarks.speed -o $(OUT)/bench
	$(BIN)/python -m sslseg.benchmarks.pretrain_speed -o $(OUT)/bench

# Repeats the pretraining of the weights in Resources/Models; an interrupted run goes on where it was.
weights: $(WEIGHTS)

$(OUT)/weights/%.safetensors: Resources/Models/data_sets.json | $(READY)
	SSLSEG_DATA="$(abspath $(DATA))" OMP_NUM_THREADS=1 $(BIN)/sslseg pretrain --method $* --data $< -o $@ \
	  --steps 2000 --batch 8 --patch 64 --max-pixels 192 --device cpu --cache $(OUT)/weights/slices \
	  $(if $(wildcard $(OUT)/weights/$*.run/state.safetensors),--resume)

accuracy: $(READY)
	$(BIN)/sslseg benchmark within-volume --quick --data $(DATA) -o $(OUT)/benchmarks

# Needs Qt, which nothing else here does.
screenshots: $(READY)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[screenshots]"
	$(BIN)/python Testing/screenshots $(OUT)/screenshots

clean:
	rm -rf $(OUT) build .pytest_cache .mypy_cache .ruff_cache

distclean: clean
	rm -rf $(VENV) *.egg-info
