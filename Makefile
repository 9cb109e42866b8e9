# Two commands: `make book` and `make test`. Each does its own set-up.
PYTHON ?= python3
CORES ?= 2
export PYTHON
RUN = .venv/bin/python -m

.PHONY: book test readme lock clean

book: .venv/ready
	@$(RUN) workflow.build --cores $(CORES)

test: .venv/ready
	@$(RUN) workflow.check --cores $(CORES)

# Write the scorecard's counts and the picture of the present book into README.md.
readme: book
	@$(RUN) workflow.readme

# Pin everything again after a change of pyproject.toml; needs uv.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --output-file requirements.lock

clean:
	rm -rf results _build .snakemake

.venv/ready: requirements.lock pyproject.toml workflow/setup.sh
	@sh workflow/setup.sh
