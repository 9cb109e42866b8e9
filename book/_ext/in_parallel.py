"""Several processes write the pages: Jupyter Book has no option for that.

They are read by one, as sphinx_proof cannot put together what several have read.
"""

import os


def share(app, env) -> None:
    """Let as many processes write as ``BEA_CORES`` says, which ``workflow.render`` sets."""
    app.parallel = int(os.environ.get("BEA_CORES", "1"))


def setup(app) -> dict:
    """Register it for after the pages are read."""
    app.connect("env-updated", share)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
