"""The soak kills whom it says and notices what it looks for; what it does to builds for long has a short form here."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import psutil
import pytest
import stored_runs

from lab.parameters import ROOT
from workflow import kills, mishaps, plan
from workflow.build import interruptible

STATUS = json.loads((ROOT / "book" / "status.json").read_text())

# Processes in a chain as those of a build; every one says when the next has ended.
CHAIN = """\
import os, subprocess, sys, time
from pathlib import Path

name, others = sys.argv[1], os.environ["BELOW"].split()
Path(f"{name}.pid").write_text(str(os.getpid()))
if others:
    below = os.environ | {"BELOW": " ".join(others[1:])}
    code = subprocess.run([sys.executable, "-S", sys.argv[0], others[0]], env=below).returncode
    Path(f"{name}.saw").write_text(str(code))
    sys.exit(code != 0)
Path("trace/calls").write_text("learn-0")
time.sleep(60)
"""
NAMES = ("workflow.build", "snakemake", "workflow.execute", "ipykernel")


@pytest.fixture
def tree(tmp_path):
    """A folder with the trace that a small book has."""
    (tmp_path / "trace").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("whom", "killed", "told"),
    [
        ("kernel", {"ipykernel"}, {"workflow.execute", "snakemake", "workflow.build"}),
        ("training", {"ipykernel", "workflow.execute"}, {"snakemake", "workflow.build"}),
        ("workflow", {"snakemake", "workflow.build"}, set()),
        ("group", set(NAMES), set()),
    ],
)
def test_those_are_killed_that_it_names(tree, monkeypatch, whom, killed, told):
    """Those above a kernel learn of it and end; a chapter whose workflow is killed goes on."""
    (tree / "chain.py").write_text(CHAIN)
    monkeypatch.setattr(kills, "BUILD", (sys.executable, "-S", "chain.py", NAMES[0]))
    environment = os.environ | {"BELOW": " ".join(NAMES[1:])}
    family = kills.family
    monkeypatch.setattr(kills, "family", lambda process: family(process) if kills.calls(tree) else [])  # all are there
    assert kills.killed_build(tree, environment, whom, 0.0) == "killed"
    running = {name for name in NAMES if _runs(int((tree / f"{name}.pid").read_text()))}
    for name in running:
        os.kill(int((tree / f"{name}.pid").read_text()), 9)
    assert running == set(NAMES) - killed - told
    assert {path.stem for path in tree.glob("*.saw")} == told


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# A build of one process, with a training and a study, that has one fault or none.
FAKE = """\
import os, sys, time
from pathlib import Path

fault, kept, lock, made = os.environ["FAULT"], Path("_build/remembered"), Path("_build/lock"), Path("results/first.csv")
for folder in (kept, made.parent / ".done"):
    folder.mkdir(parents=True, exist_ok=True)
if fault == "refused" and lock.exists():
    sys.exit("somebody has to remove the lock")
lock.touch()
if not (fault == "lost" and made.exists()):
    made.write_text("half")
    for name in ("learn-0", "one"):
        if fault == "repeated" or not (kept / f"{name}.npz").exists():
            with open("trace/calls", "a") as file:
                print(name, file=file)
            time.sleep(0.2)
            (kept / f"{name}.npz").touch()
    made.write_text("all of it")
done = made.parent / ".done" / "first"
if fault == "twice" or not done.exists():
    done.write_text("")
lock.unlink()
"""


@pytest.mark.parametrize("fault", ["none", "lost", "repeated", "refused", "twice"])
def test_what_a_killed_build_does_wrong_is_counted(tree, monkeypatch, fault):
    """And nothing else; every kind is killed as often as it was asked for, and what is found is told at once."""
    (tree / "fake.py").write_text(FAKE)
    monkeypatch.setattr(kills, "BUILD", (sys.executable, "-S", "fake.py", *NAMES))
    told = []
    environment = os.environ | {"FAULT": fault}
    found = kills.soak(tree, environment, 2, lambda found: told.append(dict(found)), training=0.4)
    assert {whom: found[whom] for whom in kills.WHOM} == dict.fromkeys(kills.WHOM, 2)
    assert {word for word in (*kills.FAULTS, "twice") if found[word]} == {fault} - {"none"}
    assert len(told) >= 10
    assert told[-1] == found
    assert [sum(one.get(whom, 0) for whom in kills.WHOM) for one in told] == sorted(
        sum(one.get(whom, 0) for whom in kills.WHOM) for one in told
    )


def test_where_nothing_can_be_mounted_the_soak_says_so_and_goes_on(tree, monkeypatch):
    """Of everything that it does not try."""
    monkeypatch.setenv("PATH", "")
    told = {}
    mishaps.suffer(tree, mishaps.MISHAPS, lambda name, found: told.update({name: found}))
    assert told.keys() == mishaps.MISHAPS.keys()
    assert all(re.search("mount", found["not tried"]) for found in told.values())


def test_a_clock_that_was_put_back(tmp_path, monkeypatch):
    """Records from the future are forgotten and sources from there dated now; others stay as they are."""
    monkeypatch.chdir(tmp_path)
    names = ("results/.done/new", "results/.done/old", "_build/book.done", "bea/new.py", "bea/old.py", "params.yml")
    now = time.time()
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
        when = now - 100 if "old" in name else now + 86400
        os.utime(name, (when, when))
    plan.doubt_the_clock()
    assert {name for name in names if not Path(name).exists()} == {"results/.done/new", "_build/book.done"}
    assert Path("results/.done/old").stat().st_mtime == Path("bea/old.py").stat().st_mtime == now - 100
    for name in ("bea/new.py", "params.yml"):
        assert now - 1 <= Path(name).stat().st_mtime <= time.time()


def test_a_folder_that_cannot_be_written_is_said_in_a_line():
    """Instead of a traceback."""

    def program():
        with plan.alone(Path("/proc/none/make.lock"), ""):
            raise AssertionError

    with pytest.raises(SystemExit, match=r"\[Errno 2\] No such file or directory: '/proc/none'"):
        interruptible(program)


def test_a_folder_for_temporary_files_that_cannot_be_written_is_left_for_another_one():
    """By all that a build starts: Snakemake looks at the variable alone."""
    code = "import os; from workflow.build import begin; begin('smoke'); print(os.environ['TMPDIR'])"
    environment = os.environ | {"TMPDIR": "/proc"}
    said = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment, text=True).strip()
    assert said != "/proc"
    assert os.access(said, os.W_OK)


def test_builds_that_make_something_else_every_time_are_no_measure(tree, monkeypatch):
    """The soak names what differs, before it kills."""
    code = "import os, time; os.mkdir('results'); open('results/a.csv', 'w').write(str(time.time()))"
    monkeypatch.setattr(kills, "BUILD", (sys.executable, "-S", "-c", code))
    with pytest.raises(RuntimeError, match=r"expected two builds to make the same, received others of results/a\.csv"):
        kills.soak(tree, dict(os.environ), 1, print)


def test_the_stored_run_found_nothing():
    """With its date; all kinds were killed, everything else was tried, and nothing was lost or repeated."""
    assert STATUS["kills"].keys() == {"results", "pages"}
    assert STATUS["faults"].keys() == mishaps.MISHAPS.keys()
    for entry in (*STATUS["kills"].values(), *STATUS["faults"].values()):
        assert date.fromisoformat(entry["date"])
        assert "not tried" not in entry["found"]
        assert not set(kills.FAULTS) & entry["found"].keys()
        assert mishaps.TRACEBACK not in entry["found"].get("said", "")
    assert all(entry["found"][whom] > 0 for entry in STATUS["kills"].values() for whom in kills.WHOM)
    assert STATUS["faults"]["clock put back by a day, study changed"]["found"]["said"].endswith("the change is seen")


def test_the_page_says_what_was_found():
    """Every number, and every word of what a build said."""
    entry = {"date": "2026-11-30", "commit": "abc"}
    status = {
        "kills": {"results": entry | {"found": {"kernel": 1234, "lost": 3}}},
        "faults": {
            "disk full": entry | {"found": {"said": "refused: [Errno 28]", "repeated": 2}},
            "a mount": entry | {"found": {"not tried": "mount: must be superuser"}},
            "clock": entry | {"found": {"said": "finished"}},
        },
        "loaders": {"images, csv": entry | {"number": 5000, "found": {"read": 1, "refused": 4998, "slowest": 0.01}}},
    }
    text = stored_runs.Faults.text(status)
    for row in (
        "| killed: the kernel of a chapter | 1,234 |",
        "| **results lost or changed** | 3 |",
        r"| disk full | refused: \[Errno 28\] | **studies computed again**: 2 | 2026-11-30, abc |",
        "| a mount | nothing | not tried: mount: must be superuser | 2026-11-30, abc |",
        "| clock | finished | finished | 2026-11-30, abc |",
        "| images, csv | 5,000 | 1 | 4,998 | 0 | 0.01 s | 2026-11-30 |",
    ):
        assert row in text.splitlines()


def test_no_word_of_the_status_is_left_out_of_the_page():
    """Those that are counted have words there."""
    assert {*kills.WHOM, *kills.FAULTS, "over", "finished", "twice"} == stored_runs.COUNTED.keys()
