"""``make sweep NAME=table_1_norm``: call a study or a chapter for all combinations of some lists; gather one table.

``sweeps.yml`` says which. Every process makes some of the calls, as a job of Snakemake, on this machine or in a queue
(``profiles/``). What a call has found is kept under a name that covers all it was computed from, so a sweep that was
killed goes on where it was. ``--keep`` puts table and figure where the book shows them, ``--commands`` prints what to
run by hand, a line a process.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from bea.files import replacing, write_text
from lab import datasets
from lab.parameters import EDITIONS, ROOT, place
from workflow.plan import alone, commit, fail, keep_compiled, resolve_data_folder
from workflow.sweeps import Sweep, load

KEPT = ROOT / "book" / "sweeps"
MADE = ("table.csv", "table.parquet", "figure.svg", "summary.json")
INTERVAL = (0.05, 0.5, 0.95)


def folder(sweep: Sweep) -> Path:
    """Return where a sweep leaves what it makes."""
    return ROOT / "_build" / "sweeps" / f"{sweep.name}-{sweep.edition}"


def run_part(sweep: Sweep, number: int, to: Path) -> None:
    """Make the calls of one process that have not been made before.

    Raises
    ------
    ValueError
        For a number that no process has, and for a table without the columns that ``together`` names.
    """
    parts = sweep.parts()
    if not 0 <= number < len(parts):
        raise ValueError(f"part: expected 0 to {len(parts) - 1}, received {number}")
    made_of, data, keys = sweep.made_of(), None, []
    for call in parts[number]:
        keys.append(sweep.key(call, made_of))
        path = to / "points" / f"{keys[-1]}.json"
        if path.is_file():  # it was moved into place whole
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None and sweep.dataset:
            data = datasets.load(sweep.dataset)
        start = time.perf_counter()
        with threadpool_limits(sweep.needs["cores"]):
            rows = _study(sweep, call, data) if sweep.study else _chapter(sweep, call, to / "runs" / keys[-1])
        seconds = round(time.perf_counter() - start, 3)
        write_text(path, json.dumps({"rows": rows, "seconds": seconds}, allow_nan=False))
    (to / "parts").mkdir(parents=True, exist_ok=True)
    write_text(to / "parts" / str(number), "".join(f"{key}\n" for key in keys))


def _study(sweep: Sweep, call: dict, data) -> list[dict]:
    found = sweep.function()(*([data] if sweep.dataset else []), **call)
    frame = found if isinstance(found, pd.DataFrame) else pd.DataFrame([found])
    if missing := set(sweep.together) - set(frame.columns):
        raise ValueError(
            f"{sweep.study}: expected columns {', '.join(sorted(missing))}, received {list(frame.columns)}"
        )
    return json.loads(json.dumps(frame.to_dict("records"), default=lambda value: value.item()))


def _chapter(sweep: Sweep, call: dict, to: Path) -> list[dict]:
    from workflow.execute import check_inputs, chosen_values, execute  # takes longer to import than many a study

    chosen = chosen_values(sweep.chapter, sweep.edition, [(name, json.dumps(value)) for name, value in call.items()])
    data = chosen.get("dataset")
    check_inputs(sweep.chapter, place("inputs", chosen.get("inputs"), Path("notebooks")), data)
    execute(sweep.chapter, chosen, {"edition": sweep.edition, "dataset": data}, to)
    cells = json.loads((to / f"{sweep.chapter}.json").read_text(encoding="utf-8"))["cells"]
    return [sweep.gathered(cells)]


def gather(sweep: Sweep, to: Path) -> pd.DataFrame:
    """Write the table of all calls, as CSV and Parquet, its figure, and what was run; return the table."""
    import fastparquet  # which no other job needs

    made_of, rows, seconds = sweep.made_of(), [], 0.0
    for call in sweep.calls():
        found = json.loads((to / "points" / f"{sweep.key(call, made_of)}.json").read_text(encoding="utf-8"))
        own = {name: call[name] for name in sweep.lists if name not in sweep.together}
        rows += [own | row for row in found["rows"]]
        seconds += found["seconds"]
    table = pd.DataFrame(rows)
    table = table[[*sweep.lists, *(name for name in table.columns if name not in sweep.lists)]]
    write_text(to / "table.csv", table.to_csv(index=False))
    with replacing(to / "table.parquet") as partial:
        fastparquet.write(str(partial), table, write_index=False)
    x, y = sweep.figure["x"], sweep.figure["y"]
    levels = table.groupby(x)[y].quantile(list(INTERVAL)).unstack()
    write_text(to / "figure.svg", _figure(sweep, table, levels))
    summary = {
        "title": sweep.title, "edition": sweep.edition, "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(), "points": sweep.points(), "calls": len(sweep.calls()), "processes": len(sweep.parts()),
        "seconds": round(seconds), "of": sweep.study or sweep.chapter, "dataset": sweep.dataset,
        "lists": sweep.lists, "fixed": sweep.fixed, "x": x, "y": y, "label": sweep.figure.get("label", y),
        "form": sweep.figure.get("form", ".3g"),
        "levels": [[value, *row] for value, row in zip(levels.index.tolist(), levels.to_numpy().tolist(), strict=True)],
    }  # fmt: skip
    write_text(to / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    return table


def _figure(sweep: Sweep, table: pd.DataFrame, levels: pd.DataFrame) -> str:
    """Return the picture: every value as a dot, at each place the median and the middle nine tenths."""
    from lab import figures

    x, y, (low, middle, high) = sweep.figure["x"], sweep.figure["y"], INTERVAL
    form, label = sweep.figure.get("form", ".3g"), sweep.figure.get("label", y)
    at = {value: place for place, value in enumerate(levels.index)}
    figure, ((ax,),) = figures.new_figure()
    ax.plot(table[x].map(at), table[y], "o", color=figures.SKY, ms=4, alpha=0.6, label="each")
    ends = (levels[middle] - levels[low], levels[high] - levels[middle])
    ax.errorbar(range(len(at)), levels[middle], yerr=ends, fmt="s-", color=figures.BLUE, capsize=4, label="median, 90%")
    if (published := sweep.figure.get("published")) is not None:
        ax.axhline(published, ls="--", color=figures.VERMILLION, label="as published")
    ax.set(xlabel=x, ylabel=label, xticks=range(len(at)), ylim=(0, None))
    ax.set_xticklabels([str(value) for value in at])
    ax.yaxis.set_major_formatter(lambda value, _: format(value, form))
    ax.legend()
    said = "; ".join(f"{value}: {format(row[middle], form)}" for value, row in levels.iterrows())
    return figures.to_svg(figure, f"sweep-{sweep.name}", f"{label} against {x}. Medians: {said}.")


def run(sweep: Sweep, cores: int, profile: str) -> int:
    """Let Snakemake make the table, and return its exit status."""
    to = folder(sweep)
    to.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "sweep.smk")]
    command += ["--directory", str(to), "--profile", str(ROOT / "profiles" / profile), "--nolock", "--quiet", "host"]
    command += ["--cores", str(cores)] if profile == "local" else []
    command += ["--config", f"sweep={sweep.name}", f"edition={sweep.edition}", f"python={sys.executable}"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # of jobs, wherever they run
    with (
        alone(to / "lock", f"another sweep {sweep.name} is running in this folder"),
        open(to / "log", "w", encoding="utf-8") as log,
    ):
        for name in MADE:
            (to / name).unlink(missing_ok=True)  # gathering takes no time, and may have been changed
        environment = os.environ | {"PYTHONPATH": path}
        return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--edition", default="full", choices=EDITIONS)
    parser.add_argument("--cores", type=int, default=2)
    profiles = sorted(path.name for path in (ROOT / "profiles").iterdir())
    parser.add_argument("--profile", default="local", choices=profiles, help="where the jobs run (default: local)")
    parser.add_argument("--part", type=int, help="make the calls of this process alone")
    parser.add_argument("--gather", action="store_true", help="make table and figure alone")
    parser.add_argument("--commands", action="store_true", help="print the commands of all processes")
    parser.add_argument("--keep", action="store_true", help="put table and figure into book/sweeps")
    arguments = parser.parse_args()
    resolve_data_folder()
    os.chdir(ROOT)
    keep_compiled()
    try:
        sweep = load(arguments.name, arguments.edition)
        if arguments.commands:
            own = sweep.command(sys.executable)
            print(*(f"{own} --part {number}" for number in range(len(sweep.parts()))), sep="\n")
        elif arguments.part is not None:
            run_part(sweep, arguments.part, folder(sweep))
        elif arguments.gather:
            gather(sweep, folder(sweep))
        else:
            start = time.monotonic()
            if run(sweep, arguments.cores, arguments.profile):
                fail(f"not everything was made; all output is in {folder(sweep) / 'log'}")
            print(f"{sweep.points()} points, {time.monotonic() - start:.0f} s: {folder(sweep) / 'table.csv'}")
        if arguments.keep:
            (KEPT / sweep.name).mkdir(parents=True, exist_ok=True)
            for name in MADE:
                shutil.copyfile(folder(sweep) / name, KEPT / sweep.name / name)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        fail(str(error))


if __name__ == "__main__":
    main()
