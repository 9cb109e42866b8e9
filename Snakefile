# What runs after what: dataset -> training -> analysis -> book. `make book` calls it.
#
# What a chapter needs is found by reading its notebook (workflow/dependencies.py); nothing is listed here.
#
# Snakemake deletes the output of a rule before the rule runs. So the output here is the record of a good run,
# results/.done/NOTEBOOK, which workflow.execute writes last, after it has moved the pages and numbers into place:
# a notebook that fails loses its record, and leaves the files of the last good run as they were.
# What others wait for is results/.left/NOTEBOOK, which stays the same where only text or pictures have changed.
import sys
from pathlib import Path

from lab.parameters import values
from lab.sources import files_reached
from workflow.dependencies import all_needs
from workflow.durations import chains, expected
from workflow.plan import forget_incomplete, resolve_data_folder

resolve_data_folder()
forget_incomplete()
# `make book` has decided on the dataset before: python -m workflow.dataset full
EDITION = config.get("edition", "full")
NEEDS = all_needs()
# Ones that many or long ones wait for go first.
FIRST = chains(expected(EDITION, NEEDS), {name: needs.chapters for name, needs in NEEDS.items()})
RECORDS = [f"results/.done/{name}" for name in NEEDS]
EXTENSION = sorted({file for own in Path("book/_ext").glob("*.py") for file in files_reached(own.read_text(), Path())})
PACKAGE = sorted(map(str, Path("bea").rglob("*.py")))  # its docstrings are pages


# The records are asked for by name: Snakemake would not miss one that only stands behind an existing book.
rule all:
    input: RECORDS, "_build/book.done"


rule book:
    input:
        "results/dataset.json", RECORDS, EXTENSION, PACKAGE, "_config.yml", "_toc.yml", "params.yml", "workflow/render.py",
        "workflow/dependencies.py", "book/references.bib", *sorted(map(str, Path("book").glob("status.json"))),
        expand("book/{name}.yml", name=["claims", "published", "register", "compared"]),
        expand("lab/rules/{rule}.py", rule=glob_wildcards("lab/rules/{rule}.py").rule),
        expand("book/{page}.md", page=glob_wildcards("book/{page,[^/]+}.md").page),
        sorted(map(str, Path("book/sweeps").rglob("*.*"))),
        expand("book/_ext/{file}", file=glob_wildcards("book/_ext/{file,[^/]+[.]py}").file),
        expand("book/_static/{file}", file=glob_wildcards("book/_static/{file,.+[.][a-z]+}").file),
    output: touch("_build/book.done")
    threads: 8
    shell: "{sys.executable:q} -m workflow.render --cores {threads}"


for name, needs in NEEDS.items():

    rule:
        name: name
        input:
            [f"results/.left/{other}" for other in needs.chapters], ["results/dataset.json"] if needs.dataset else [],
            f"notebooks/{name}.ipynb", needs.files, "workflow/execute.py",
        priority: round(FIRST[name])
        params: chapter=name, values=values(name, EDITION), claims=needs.claims
        output: f"results/.done/{name}", f"results/.left/{name}"
        shell: "{sys.executable:q} -m workflow.execute {params.chapter} --edition {EDITION} --wait"
