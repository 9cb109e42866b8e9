# What runs after what: dataset -> training -> analysis -> book. `make book` calls it.
#
# Snakemake deletes the output of a rule before the rule runs. So the output here is the record of a good run,
# results/.done/NOTEBOOK, which workflow.execute writes last, after it has moved the pages and numbers into place:
# a notebook that fails loses its record, and leaves the files of the last good run as they were.
import sys

from lab.parameters import values
from workflow.plan import forget_incomplete, modules_of, resolve_data_folder

resolve_data_folder()
forget_incomplete()
# `make book` has decided on the dataset before: python -m workflow.dataset full
SET = config.get("set", "full")
# What a notebook needs besides its own source and the modules it imports.
NEEDS = {
    "training": ["results/dataset.json"],
    "primer": [],
    "one_layer": ["results/dataset.json", "results/.done/training"],
    "backward_error": ["results/dataset.json", "results/.done/training"],
    "deep_training": ["results/dataset.json"],
    "tables": ["results/dataset.json", "results/.done/training", "results/.done/deep_training"],
    "pictures": ["results/dataset.json", "results/.done/training", "results/.done/deep_training"],
    "beyond": ["results/dataset.json", "results/.done/deep_training"],
    "attacker": ["results/dataset.json", "results/.done/deep_training"],
    "scratch": ["results/dataset.json"],
    "sturdier": ["results/dataset.json", "results/.done/scratch"],
    "hundred": ["results/dataset.json", "results/.done/scratch"],
    "distribution": ["results/dataset.json", "results/.done/scratch"],
    "ray": ["results/dataset.json", "results/.done/scratch"],
    "epsilon": [
        "results/dataset.json", "results/.done/training", "results/.done/deep_training", "results/.done/scratch",
        "results/.done/sturdier",
    ],
    "logistic": ["results/dataset.json", "results/.done/training", "results/.done/deep_training"],
    "attacks": ["results/dataset.json", "results/.done/training", "results/.done/deep_training"],
    "derivatives": [
        "results/dataset.json", "results/.done/training", "results/.done/deep_training", "results/.done/scratch",
        "results/.done/sturdier",
    ],
    "transfer": [
        "results/dataset.json", "results/.done/training", "results/.done/deep_training", "results/.done/scratch",
        "results/.done/sturdier",
    ],
    "hidden": ["results/dataset.json", "results/.done/deep_training", "results/.done/scratch"],
    "bridge": ["results/dataset.json", "results/.done/deep_training", "results/.done/scratch"],
    "lenet": ["results/dataset.json"],
    "audit": ["results/dataset.json", "results/.done/deep_training", "results/.done/lenet"],
    "lower_bounds": [
        "results/dataset.json", "results/.done/training", "results/.done/deep_training", "results/.done/lenet",
    ],
    "sandwich": [
        "results/dataset.json", "results/.done/training", "results/.done/deep_training", "results/.done/lenet",
    ],
    "ball": ["results/dataset.json", "results/.done/training", "results/.done/deep_training", "results/.done/lenet"],
    "robustness": ["results/dataset.json", "results/.done/scratch"],
}


# Long ones that others wait for go first.
FIRST = {"scratch": 3, "lenet": 2, "sturdier": 1}
# Ones that use all cores themselves, and say how long they took.
ALONE = {"attacks"}


# The records are asked for by name: Snakemake would not miss one that only stands behind an existing book.
rule all:
    input: [f"results/.done/{notebook}" for notebook in NEEDS], "_build/book.done"


rule book:
    input:
        "results/dataset.json", [f"results/.done/{notebook}" for notebook in NEEDS],
        "_config.yml", "_toc.yml", "workflow/render.py", "book/claims.yml", "book/published.yml", "book/references.bib",
        expand("book/{page}.md", page=glob_wildcards("book/{page}.md").page),
        expand("book/_ext/{file}", file=glob_wildcards("book/_ext/{file,[^/]+[.]py}").file),
        expand("book/_static/{file}", file=glob_wildcards("book/_static/{file,.+[.][a-z]+}").file),
    output: touch("_build/book.done")
    shell: "{sys.executable:q} -m workflow.render"


for notebook, needs in NEEDS.items():

    rule:
        name: notebook
        input:
            needs, f"notebooks/{notebook}.ipynb", modules_of(notebook), "workflow/execute.py", "book/claims.yml", "book/published.yml",
        priority: FIRST.get(notebook, 0)
        threads: workflow.cores if notebook in ALONE else 1
        params: notebook=notebook, values=values(notebook, SET)
        output: f"results/.done/{notebook}"
        shell: "{sys.executable:q} -m workflow.execute {params.notebook} --set {SET}"
