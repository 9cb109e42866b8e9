"""SLURM on this machine: munge, a controller and two virtual nodes on loopback, in a folder, without accounting."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo")
CONFIGURATION = """\
ClusterName=bea
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MinJobAge=600
MpiDefault=none
SlurmdParameters=config_overrides
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=1 RealMemory=4000
PartitionName=all Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Return why SLURM cannot be started here, or nothing."""
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"no {', '.join(missing)}: Debian's packages slurm-wlm and munge have them"
    return "" if os.getuid() == 0 else "only root can start nodes that run jobs"


@contextmanager
def cluster(folder: Path, port: int = 17010) -> Iterator[dict[str, str]]:
    """Start all of it in a folder, give what must be in the environment of who submits, and end it."""
    for name in ("state", "munge", "bin"):
        (folder / name).mkdir(parents=True)
    for path in (folder / "munge", *folder.parents[:2], folder):
        path.chmod(0o755)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    words = {"host": socket.gethostname(), "folder": folder, "port": port, "first": port + 1, "last": port + 2}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**words))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    # Snakemake takes SLURM's variables out of the environment of jobs, which elsewhere find /etc/slurm.
    srun = f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
    (folder / "bin" / "srun").write_text(srun)
    (folder / "bin" / "srun").chmod(0o755)
    given = {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    munge = {"key-file": "key", "socket": "munge/socket", "pid-file": "munge/pid", "log-file": "munge/log"}
    commands = [["munged", "-F", "-f", *(f"--{word}={folder}/{name}" for word, name in munge.items())]]
    commands[0].append(f"--seed-file={folder}/munge/seed")
    commands.append(["slurmctld", "-D", "-i"])
    commands += [["slurmd", "-D", "-N", name] for name in ("n1", "n2")]
    started = []
    try:
        for command in commands:
            with open(folder / f"{len(started)}.out", "wb") as out:
                started.append(subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | given))
            time.sleep(0.5)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            said = subprocess.run(
                ["sinfo", "-h", "-o", "%D %t"], capture_output=True, text=True, env=os.environ | given
            )
            if said.stdout.split() == ["2", "idle"]:
                break
            time.sleep(0.5)
        else:
            raise RuntimeError(f"the nodes did not come up: {said.stdout}{said.stderr}")
        yield given
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=20)
