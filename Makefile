# `make demo` and `make test` need Python 3.11 to 3.13, git and make; what else they need, they build (see `make help`).

# Of the committed checkpoints: `make DATA=nmnist checkpoint` needs the recordings in data/NMNIST.
DATA = digits
CHECKPOINT = checkpoints/$(DATA).pt
CONFIG = configs/$(DATA)
RUN = runs/$(DATA)

BIN = .venv/bin
PACKAGES = spikinghash training export deploy hardware_profiles
SETUP = scripts/setup_environments.py

# The first of these that is a Python 3.11 to 3.13 makes the environments: `make PYTHON=/path/to/python3.12 setup`.
PYTHON = python3
PYTHONS = $(PYTHON) python3.13 python3.12 python3.11
CHECK_VERSION = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

define build_environments
@for python in $(PYTHONS); do \
    if "$$python" -c '$(CHECK_VERSION)' 2>/dev/null; then exec "$$python" $(SETUP) $(1); fi; \
done; \
echo 'error: no Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=/path/to/python3.12' >&2; exit 2
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint checkpoint eval interop interop-setup bench results picture web docs clean

help: ## Show the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Build what is missing of .venv and .venv-lava.
	$(call build_environments,main lava)

demo: setup ## Run the whole pipeline on the committed checkpoint and name the files to open.
	$(BIN)/spikinghash demo

test: setup ## Run the tests.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --ignore tests/interop

lint: setup ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/mypy

checkpoint: setup ## Train the committed checkpoints anew, the dense and the sparse one; an interrupted training goes on.
	$(BIN)/python -m training.train --config $(CONFIG).toml --out $(RUN)
	$(BIN)/python -m training.train --config $(CONFIG)-grids.toml --out $(RUN)-grids
	$(BIN)/python -m training.publish $(RUN)-grids/last.pt checkpoints/dense/$(DATA).pt
	$(BIN)/python -m training.train --config $(CONFIG)-sparse.toml --out $(RUN)-sparse
	$(BIN)/python -m training.train --config $(CONFIG)-sparse-grids.toml --out $(RUN)-sparse-grids
	$(BIN)/python -m training.publish $(RUN)-sparse-grids/last.pt $(CHECKPOINT)
	$(BIN)/python -m export.to_onnx $(CHECKPOINT)

eval: setup ## Print the retrieval figures of the committed checkpoint.
	$(BIN)/python -m export.evaluate $(CHECKPOINT) $(if $(NMNIST),--data $(NMNIST))

interop: setup interop-setup ## Run the tests on foreign simulators.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/interop

interop-setup: ## Build .venv-interop, the environment of the foreign simulators, if it is missing.
	$(call build_environments,interop)

bench: setup ## Time training, encoding and Lava against plain versions of them.
	$(BIN)/python -m export.to_nir $(CHECKPOINT) -o build/encoder.nir
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.encode
	$(BIN)/python -m benchmarks.lava build/encoder.nir

results: setup ## Train and test all networks of docs/results.md; NMNIST=FOLDER adds N-MNIST. Hours; it resumes.
	$(BIN)/python -m benchmarks.results $(if $(NMNIST),--nmnist $(NMNIST))
	$(BIN)/python -m benchmarks.codes $(if $(NMNIST),--nmnist $(NMNIST))
	$(BIN)/python -m benchmarks.levels

picture: setup ## Draw the pictures of README and docs anew: neighbours of two recordings, the encoder.
	$(BIN)/python scripts/draw_neighbours.py docs/neighbours.png
	$(BIN)/python -m export.to_nir $(CHECKPOINT) -o build/encoder.nir
	$(BIN)/python -m export.inspect build/encoder.nir -o docs/encoder-parts.svg

web: setup build/web/node_modules ## Write build/web/spikinghash.html: the encoder in a browser, without a server. Needs npm.
	$(BIN)/python -m deploy.web $(CHECKPOINT:.pt=.onnx) spikinghash/resources/recordings --sensor 34x34

build/web/node_modules: deploy/web/package.json
	mkdir -p build/web
	cp $< build/web
	npm install --prefix build/web --no-package-lock --no-audit --no-fund
	touch $@

docs: setup ## Build the site of docs/ in build/site, with the page of `make web` if it is there; a warning is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## Remove what was built and measured; the environments stay (they are .venv*).
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo report
	find $(PACKAGES) tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
