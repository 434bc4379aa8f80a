# SSLSegment from a fresh clone: `make demo` shows what it does, `make test` checks everything.
# Needs make and Python 3.10 to 3.12 with venv; the rest is installed into .venv, pinned by constraints.txt, and for the
# browser into .venv-web, pinned by constraints-web.txt.

PYTHON ?= python3
PYTEST_ARGS ?= -n 2
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready
WEB_VENV := .venv-web
WEB_BIN := $(WEB_VENV)/$(notdir $(BIN))
WEB_READY := $(WEB_VENV)/.ready
OUT := out
WEB_IMAGE := $(OUT)/web/brain.nrrd

DATA ?= ../shared/data
WEIGHTS := $(addprefix $(OUT)/weights/,$(addsuffix .safetensors,pix2rep pix2rep-v2 hssl))

.PHONY: help demo test lint bench accuracy weights screenshots web test-web clean distclean

help:
	@echo "make demo       segments a real image from three annotated slices; see $(OUT)/demo"
	@echo "make test       checks style, types and behaviour"
	@echo "make web        opens the app for the browser on a real image; WEB_ARGS=\"--port 8081\" are its options"
	@echo "make test-web   checks the app for the browser, with Chromium"
	@echo "make lint       checks style and types only"
	@echo "make bench      measures speed and memory; see $(OUT)/bench"
	@echo "make weights    pretrains the weights that ship, from the scans in DATA=$(DATA); takes two hours"
	@echo "make accuracy   compares a few volumes with free tools; needs the labelled images at DATA"
	@echo "make screenshots draws the panel and views; see $(OUT)/screenshots"
	@echo "make clean      removes what the commands above wrote"
	@echo "make distclean  removes the Python environment as well"

# $(call install,constraints,extras): installed once, and again when a requirement changes.
define install
	@$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))" || \
	  { echo "SSLSegment needs Python 3.10, 3.11 or 3.12: name one, for example make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || \
	  { echo "Python's venv module is incomplete: install it (Debian: apt install python3-venv) and run make again."; exit 1; }
	@echo "Installing into $(@D): this takes some minutes the first time."
	test -x $(@D)/$(notdir $(BIN))/python || $(PYTHON) -m venv $(@D)
	$(@D)/$(notdir $(BIN))/python -m pip install -qq --disable-pip-version-check -c $(1) -e ".[$(2)]"
	@touch $@
endef

comma := ,

$(READY): pyproject.toml constraints.txt
	$(call install,constraints.txt,slicer$(comma)dicom$(comma)benchmark$(comma)dev)

# trame-slicer brings a slicer-core of its own.
$(WEB_READY): pyproject.toml constraints-web.txt
	$(call install,constraints-web.txt,dicom$(comma)web$(comma)web-dev)

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

web: $(WEB_READY) $(WEB_IMAGE)
	$(WEB_BIN)/sslsegment-web $(WEB_IMAGE) --open $(WEB_ARGS)

# The brain MRI of the demo, which comes with nilearn.
$(WEB_IMAGE): | $(WEB_READY)
	@mkdir -p $(@D)
	$(WEB_BIN)/python -c "from sslseg.demo import load_brain; from sslseg.volume import write_volume; \
	  write_volume(load_brain().volume, '$@')"

# One after the other: these tests measure how quickly a page answers.
test-web: $(WEB_READY)
	$(WEB_BIN)/python -m pytest Testing/web $(WEB_PYTEST_ARGS)

bench: $(READY)
	$(BIN)/python -m sslseg.benchmarks.speed -o $(OUT)/bench
	$(BIN)/python -m sslseg.benchmarks.pretrain_speed -o $(OUT)/bench

# Repeats the pretraining of the weights in Resources/Models; an interrupted run goes on where it was.
weights: $(WEIGHTS)

$(OUT)/weights/%.safetensors: Resources/Models/data_sets.json | $(READY)
	SSLSEG_DATA="$(abspath $(DATA))" OMP_NUM_THREADS=1 $(BIN)/sslseg pretrain --method $* --data $< -o $@ \
	  --steps 2500 --batch 8 --patch 96 --max-pixels 128 --device cpu --cache $(OUT)/weights/slices \
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
	rm -rf $(VENV) $(WEB_VENV) *.egg-info
