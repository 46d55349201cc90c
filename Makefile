# `make` lists what can be made. Everything runs in .venv, which the first target makes and later ones find there.

# The Python (3.11 or newer) to make .venv with.
PYTHON ?= python3
# How many cores the workflow may use.
CORES ?= all
# What replicate is told: --configfile FILE, --against CLAIMS, --ways kernels, --offset 1000.
REPLICATE ?=
# cpu: PyTorch's build without GPU libraries, a third of the size. Needed only while there is no .venv.
TORCH ?=

ifneq ($(filter-out cpu,$(TORCH)),)
$(error TORCH=$(TORCH): say TORCH=cpu, or leave it out for the default build)
endif

unexport PYTHONPATH PYTHONHOME

# Snakemake needs a cache; where nothing can be written at home, it is here.
ifneq ($(shell test -n "$$XDG_CACHE_HOME" || { mkdir -p "$$HOME/.cache" && test -w "$$HOME/.cache"; } 2>/dev/null || echo no),)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
endif

BOOTSTRAP = @"$(PYTHON)" tools/bootstrap.py $(if $(TORCH),--cpu)
IN_VENV = env PATH="$(CURDIR)/.venv/bin:$$PATH"
WHOLE = $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: help figures smoke rehearse replicate test test-units test-workflow test-slurm bench docs lock clean-caches clean-venv

help: ## list the targets
	@sed -n 's/^\([a-z-]*\): ## /make \1|/p' Makefile | awk -F '|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo "Variables: PYTHON=$(PYTHON) CORES=$(CORES) TORCH=$(TORCH) (cpu: without GPU libraries)"

figures: ## install, then compute every figure, claim and the report into results/
	$(BOOTSTRAP)
	$(IN_VENV) snakemake --cores $(CORES)

smoke: ## install, then run every rule on next to nothing, in results/smoke/
	$(BOOTSTRAP)
	$(IN_VENV) snakemake --cores $(CORES) --configfile config/smoke.yaml config/smoke-all.yaml --directory results/smoke

rehearse: ## install, then run every experiment of config/paper.yaml on small stand-ins, in results/rehearsal/
	$(BOOTSTRAP)
	$(IN_VENV) python tools/make_stand_ins.py results/rehearsal/stand-ins
	$(IN_VENV) snakemake --cores $(CORES) --configfile config/paper.yaml config/rehearsal.yaml --directory results/rehearsal

replicate: ## install, then compute the default again with other kernels and other seeds; say which verdicts change
	$(BOOTSTRAP)
	$(IN_VENV) python tools/replicate.py --cores $(CORES) $(REPLICATE)

test: ## install with the test tools, then check style, types and tests
	$(BOOTSTRAP) --test
	$(IN_VENV) ruff check
	$(IN_VENV) ruff format --check
	$(IN_VENV) snakefmt --check Snakefile rules
	$(IN_VENV) mypy
	@$(MAKE) --no-print-directory -j2 $(WHOLE) test-units test-workflow

# Each keeps one core busy most of the time, and they take about as long. Both print when they are done, where make can hold back what they say.
test-units:
	$(IN_VENV) pytest tests --ignore tests/workflow --ignore tests/charts

test-workflow:
	$(IN_VENV) pytest tests/workflow tests/charts

test-slurm: ## as root: start a Slurm of three nodes here, and see that it computes what this machine computes
	$(BOOTSTRAP) --slurm
	$(IN_VENV) python tools/check_slurm.py

bench: ## install, then measure speed, memory and growth of training, scoring and valuation (ratios, on an idle machine) into results/benchmarks/
	$(BOOTSTRAP)
	$(IN_VENV) python tools/bench.py

docs: ## install, then build the documentation site, with a reference of the Python interface, into site/
	$(BOOTSTRAP) --docs
	$(IN_VENV) python tools/build_docs.py

lock: ## bring requirements.lock up to pyproject.toml (pins that still fit stay; delete one to renew it)
	$(BOOTSTRAP) --test
	$(IN_VENV) pip install --quiet 'uv>=0.7'
	$(IN_VENV) uv pip compile --quiet --universal --python-version 3.11 --extra test --extra slurm --extra docs --no-annotate \
		--custom-compile-command 'make lock' pyproject.toml -o requirements.lock

clean-caches: ## remove what ruff, mypy and pytest keep
	rm -rf .mypy_cache .pytest_cache .ruff_cache

clean-venv: ## remove .venv
	rm -rf .venv
