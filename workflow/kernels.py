"""Kernels that are spoken to through files (Unix sockets) instead of network ports.

Jupyter looks for five free ports and tells them to the kernel, which opens them a second later. Where several kernels
start at once, one of the ports may be taken by then, and the kernel dies before its first cell.

``pytest -p workflow.kernels`` makes nbval use them.
"""

import tempfile
from pathlib import Path

import nbval.kernel
from jupyter_client import AsyncKernelManager, KernelManager
from jupyter_client.connect import ConnectionFileMixin
from traitlets import default


class _ThroughFiles(ConnectionFileMixin):
    @default("transport")
    def _files_not_ports(self) -> str:
        return "ipc"

    @default("connection_file")
    def _in_a_folder_of_its_own(self) -> str:
        self._folder = tempfile.TemporaryDirectory(prefix="bea-")  # removed with the manager
        return str(Path(self._folder.name) / "kernel.json")


class FileKernelManager(_ThroughFiles, KernelManager):
    """For nbval."""


class AsyncFileKernelManager(_ThroughFiles, AsyncKernelManager):
    """For papermill."""


def pytest_configure() -> None:
    """Let nbval start its kernels this way; it has no option for it."""
    nbval.kernel.KernelManager = FileKernelManager
