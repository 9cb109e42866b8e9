"""What a notebook leaves behind: numbers, figures and verdicts, each tied to the cell that computed it.

The file ``<notebook>.json`` has three parts: ``cells`` (cell → values), ``figures`` (cell → file) and ``claims``
(claim → cell and verdict). Claims of the papers and their published numbers come from one YAML file.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from IPython.display import HTML, Markdown, display

from bea.files import write_text
from lab.claims import UNDECIDED, load_claims, shown, standing
from lab.rules import Outcome
from lab.wording import signed, tidied


class Results:
    """Collects what one notebook computes and writes it to ``folder`` after every addition.

    Parameters
    ----------
    notebook : str
        Name of the notebook.
    folder : str or Path
        Where ``<notebook>.json`` and ``figures/`` go.
    claims : str or Path
        The YAML file of claims.
    dataset : str, optional
        Name of the dataset that everything here was computed from.
    """

    def __init__(self, notebook, folder, claims, dataset=None):
        self.notebook = notebook
        self.folder = Path(folder)
        self.claims = load_claims(claims)
        self.dataset = dataset
        self.content = {"notebook": notebook, "dataset": dataset, "cells": {}, "figures": {}, "claims": {}}
        (self.folder / "figures").mkdir(parents=True, exist_ok=True)

    def published(self, claim: str) -> dict:
        """Return the numbers that the paper prints for a claim."""
        return self.claims[claim]["published"]

    def save(self, cell: str, **values) -> None:
        """Keep numbers (scalars, lists, arrays, mappings) of the cell with this id."""
        self.content["cells"].setdefault(cell, {}).update(values)
        self.write()

    def figure(self, cell: str, figure, alt: str, caption: str | None = None) -> None:
        """Show a figure and keep it as ``figures/<notebook>-<cell>.svg`` and ``.png``.

        Parameters
        ----------
        cell : str
            Id of the cell that calls this.
        figure : matplotlib.figure.Figure
        alt : str
            What is drawn, for those who cannot see it.
        caption : str, optional
            What it says: the message, plain text or HTML, below the figure; ``alt`` where there is none.
        """
        from lab.figures import to_png, to_svg

        name = f"{self.notebook}-{cell}"
        svg = to_svg(figure, name, alt)
        write_text(self.folder / "figures" / f"{name}.svg", svg)
        to_png(figure, self.folder / "figures" / f"{name}.png")
        self.content["figures"][cell] = f"figures/{name}.svg"
        self.write()
        display(HTML(f'<figure class="bea-figure">{svg}<figcaption>{signed(caption or alt)}</figcaption></figure>'))

    def record(self, cell: str, claim: str, outcome: Outcome, dataset=None) -> None:
        """Show and keep the verdict on a claim.

        Parameters
        ----------
        cell : str
            Id of the cell that calls this.
        claim : str
            Id of the claim, "B11".
        outcome : Outcome
            What a rule says. The verdict becomes "cannot be decided" when the claim is about another dataset than the
            one used here.
        dataset : str, optional
            What this verdict was computed from, where it is not the dataset of the whole notebook.
        """
        dataset = self.dataset if dataset is None else dataset
        if claim not in self.claims:
            raise ValueError(f"claim: expected an id of the claims file, received {claim!r}")
        entry = self.claims[claim]
        if entry["data"] not in (None, dataset):
            because = f"The claim is about {entry['data']}; here everything was computed from {dataset}."
            outcome = replace(outcome, verdict=UNDECIDED, because=because)
        self.content["claims"][claim] = {"cell": cell} | asdict(outcome)
        self.write()
        ours = tidied(outcome.ours) + (f" ({outcome.label})" if outcome.label else "")
        lines = (
            f"**Claim {{ref}}`{claim} <claim-{claim}>`** ({entry['place']}): "  # a link to its row in the scorecard
            f"**{standing(entry, outcome.verdict)}**. {tidied(outcome.because)}",
            f"*Published:* {tidied(shown(entry))}. *Ours:* {ours}.",
        )
        display(Markdown("\n\n".join(lines)))

    def write(self) -> None:
        """Write the file."""
        try:
            text = json.dumps(self.content, default=_plain, allow_nan=False, indent=1, ensure_ascii=False)
        except ValueError as error:
            raise ValueError(f"results of {self.notebook}: expected finite numbers, {error}") from None
        write_text(self.folder / f"{self.notebook}.json", text)


def _plain(value):
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"results: expected numbers, text, lists and mappings, received {type(value).__name__}")
