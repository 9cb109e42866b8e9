# The jobs of one sweep: parts of its calls, then the table. `make sweep` calls it, in the folder of the sweep.
from workflow.sweeps import load

SWEEP = load(config["sweep"], config["edition"])
MADE_OF = SWEEP.made_of()
KEYS = [[SWEEP.key(call, MADE_OF) for call in part] for part in SWEEP.parts()]
COMMAND = SWEEP.command(config["python"])


localrules: table


rule table:
    input: expand("parts/{number}", number=range(len(KEYS)))
    params: figure=SWEEP.figure, title=SWEEP.title
    output: "table.csv", "table.parquet", "figure.svg", "summary.json"
    shell: "{COMMAND} --gather"


rule part:
    output: "parts/{number}"
    params: calls=lambda wildcards: KEYS[int(wildcards.number)]
    threads: SWEEP.needs["cores"]
    resources: mem_mb=SWEEP.needs["memory"], runtime=SWEEP.needs["minutes"]
    shell: "{COMMAND} --part {wildcards.number}"
