"""What the command ``bea`` runs."""

import sys


def main() -> None:
    """Run the command, or say in a line what has to be installed for it."""
    try:
        from bea.cli.commands import bea
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print('bea: the command line needs click: pip install "bea[cli]"', file=sys.stderr)
        sys.exit(2)
    bea()
