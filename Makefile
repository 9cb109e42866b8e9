# `make book` and `make test` are all that one needs; each does its own set-up. `make help` lists the rest.
PYTHON ?= python3
CORES ?= 2
EDITION ?= full
PROFILE ?= local
export PYTHON
RUN = .venv/bin/python -m

.PHONY: book chapter sweep soak test site students pdf slides lab verify bundle unpack compare readme durations benchmarks lock clean help

book: .venv/ready ## make the book; EDITION=smoke or complete for another edition, CORES=4
	@$(RUN) workflow.build --edition '$(EDITION)' --cores '$(CORES)'

chapter: .venv/ready ## make one chapter and what it needs: NAME=15_table_2 P="margin=1e-3 starts=5"
	@$(RUN) workflow.chapter --edition '$(EDITION)' --cores '$(CORES)' -- '$(NAME)' '$(P)'

sweep: .venv/ready ## run a sweep of sweeps.yml: NAME=table_1_norm; PROFILE=slurm elsewhere, KEEP=yes for the book
	@$(RUN) workflow.sweep '$(NAME)' --edition '$(EDITION)' --cores '$(CORES)' --profile '$(PROFILE)' $(if $(KEEP),--keep)

soak: .venv/ready ## kill builds, damage files and attack a million images for hours, and write what came of it to book/status.json
	@$(RUN) workflow.faults
	@$(RUN) workflow.scale

test: .venv/ready ## run everything that tests, on small parameters
	@$(RUN) workflow.check --cores '$(CORES)'

site: book ## zip the book, to be read without a network; EDITION=... as for the book, also for the next three
	@$(RUN) workflow.site --edition '$(EDITION)'

students: book ## render and zip the book once more, without the solutions
	@$(RUN) workflow.site --edition '$(EDITION)' --students

pdf: book ## print the book into one PDF; needs Chromium
	@$(RUN) workflow.pdf --edition '$(EDITION)'

slides: book ## make the slides of a class of 90 minutes
	@$(RUN) workflow.slides --edition '$(EDITION)'

lab: book ## open Jupyter Lab on the chapters
	@$(if $(BEA_DATA),BEA_DATA='$(abspath $(BEA_DATA))') $(RUN) jupyterlab \
	  --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

verify: .venv/ready ## check that an edition still is what was made: results, pages, versions, sources
	@$(RUN) workflow.manifest --edition '$(EDITION)'

bundle: book ## pack results, networks and pages of an edition for another machine
	@$(RUN) workflow.bundle --edition '$(EDITION)'

unpack: .venv/ready ## take in what `make bundle` has packed, after checking all of it: FILE=bundle-full.zip
	@$(RUN) workflow.bundle --edition '$(EDITION)' --unpack '$(FILE)'

compare: .venv/ready ## make a page of what moved between two editions: BEFORE=full AFTER=smoke; FILES=yes lists files
	@$(RUN) workflow.compare '$(BEFORE)' '$(AFTER)' $(if $(FILES),--files,--page _build/compared.html)

readme: book ## write the scorecard's counts and the picture of the present book into README.md
	@$(RUN) workflow.readme

durations: .venv/ready ## write how long the chapters of the present book took into workflow/durations.yml
	@$(RUN) workflow.durations '$(EDITION)'

benchmarks: book benchmarks/.venv/ready ## set the attack beside those of other libraries, for about three hours; SIZES="--images 200"
	@OMP_NUM_THREADS=1 PYTHONPATH=. benchmarks/.venv/bin/python -m benchmarks.leaderboard $(SIZES)
	@OMP_NUM_THREADS=1 PYTHONPATH=. benchmarks/.venv/bin/python -m benchmarks.weight_peers
	@$(RUN) benchmarks.every_weight
	@$(RUN) benchmarks.trained_anew
	@OMP_NUM_THREADS=1 PYTHONPATH=. benchmarks/.venv/bin/python -m benchmarks.seeds

lock: ## pin everything again after a change of pyproject.toml or benchmarks/requirements.in; needs uv
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --output-file requirements.lock
	uv pip compile benchmarks/requirements.in --override benchmarks/unneeded.txt --python-version 3.11 --python-platform linux \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --output-file benchmarks/requirements.lock

clean: ## remove everything that was made
	rm -rf results _build .snakemake

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 12

.venv/ready: requirements.lock pyproject.toml workflow/setup.sh
	@sh workflow/setup.sh

benchmarks/.venv/ready: benchmarks/requirements.lock
	@echo "installing the libraries to compare with into benchmarks/.venv (PyTorch is gigabytes) ..."
	@$(PYTHON) -m venv --clear benchmarks/.venv
	@benchmarks/.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r benchmarks/requirements.lock
	@touch $@
