"""What a notebook works with: its parameters, data and networks, remembered studies, and what it leaves behind."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from bea.files import write_text
from bea.networks.network import Network
from lab import datasets, memory, parameters
from lab.results import Results
from lab.rules import Outcome, rule_of
from lab.trained import KERAS, names_of, results_of
from lab.wording import as_table, signed, tidy

MOST_NUMBERS = 60  # a table with more than that is folded: a picture tells it better


class Chapter(Results):
    """One run of one chapter.

    Parameters
    ----------
    name : str
        Name of the notebook.
    namespace : mapping
        The notebook's ``globals()``, in which its parameters stand.

    Raises
    ------
    ValueError, TypeError
        For a parameter that is missing, or has a type or a range that ``params.yml`` does not allow.
    """

    def __init__(self, name: str, namespace: Mapping):
        wanted = parameters.declared(name)
        missing = [key for key in wanted if key not in namespace]
        if missing:
            raise ValueError(f"{name}: expected all its parameters before the chapter opens, missing {missing[0]!r}")
        given = {key: namespace[key] for key in [*wanted, *parameters.common()] if key in namespace}
        self.parameters = parameters.checked(name, given)
        self.inputs, output = (parameters.place(key, given.get(key)) for key in ("inputs", "output"))
        super().__init__(name, output, parameters.ROOT / "book" / "claims.yml", given.get("dataset"))
        self.content["networks"] = {}

    @cached_property
    def data(self) -> datasets.Dataset:
        """The chapter's dataset."""
        return datasets.load(self.dataset)

    def networks(self, *families: str, first: int | None = None) -> dict[str, Network]:
        """Return the trained networks of some families, name → network, the ``first`` few of each or all.

        What a chapter names here, as literal text, is what it waits for in ``make book``.
        """
        names = [name for family in families for name in names_of(self.inputs, family, self.dataset)[:first]]
        return {name: Network.load(self.inputs / "networks" / f"{name}.npz") for name in names}

    def keras_file(self, name: str) -> Path | None:
        """Return the file of a network's original Keras model; None for one that was trained without Keras."""
        path = self.inputs / "networks" / f"{name}{KERAS}"
        return path if path.is_file() else None

    def found(self, notebook: str, cell: str) -> dict:
        """Return the numbers that a cell of another chapter has saved.

        Which chapter it is, as literal text, is what this one waits for in ``make book``.
        """
        return results_of(self.inputs, notebook)["cells"][cell]

    def threshold(self, claim: str, name: str):
        """Return a threshold of the rule that judges a claim, here or in another chapter."""
        return self.claims[claim]["rule"][name]

    def keep(self, family: str, networks: Mapping[str, Network], models: Mapping | None = None) -> None:
        """Keep trained networks, name → network, and their Keras models, for other chapters."""
        folder = self.folder / "networks"
        folder.mkdir(exist_ok=True)
        for name, network in networks.items():
            network.save(folder / f"{name}.npz")
        for name, model in (models or {}).items():
            from lab.keras_models import save

            save(model, folder / f"{name}{KERAS}")
        self.content["networks"][family] = list(networks)
        self.write()

    def remember(self, study, *arguments, **options):
        """Return what a study returns, from disk if the very same was computed before (see ``lab.memory``)."""
        return memory.remember(study, *arguments, **options)

    def remember_each(self, family: str, study, values, *arguments, over="seed", **options) -> dict:
        """Return what a study returns for every value of one option or of several, each remembered by itself.

        Parameters
        ----------
        family : str
            Results are named by it and the values, "relu-0".
        study : function
        values : list, or list of tuples
            Of the option ``over``, or of several.
        *arguments, **options
            The study's others.
        over : str, or tuple of str
        """
        found, names = {}, (over,) if isinstance(over, str) else over
        for value in values:
            own = value if isinstance(value, tuple) else (value,)
            # Sorted, so that one and the same call is known again whichever of its options varies.
            chosen = dict(sorted((options | dict(zip(names, own, strict=True))).items()))
            found["-".join(map(str, (family, *own)))] = self.remember(study, *arguments, **chosen)
        return found

    def table(
        self, cell: str, rows, headers=None, formats: Mapping[str, str] | None = None, fold=None, title=""
    ) -> None:
        """Show a table, and keep it as CSV; a long one is folded.

        Parameters
        ----------
        cell : str
            Id of the cell that calls this.
        rows : pandas.DataFrame, or list of lists
            Numbers and text; text may be MyST Markdown. A frame's index is not shown.
        headers : list of str, optional
            Of the columns, where they shall not be the frame's names.
        formats : mapping, optional
            Column of the frame → format of its numbers on the page, ".2%"; NaN stays blank. The file has all digits.
        fold : bool, optional
            Whether to fold it; by default, if it has more than ``MOST_NUMBERS`` entries.
        title : str
            What to call a folded table.
        """
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame([list(row) for row in rows], columns=headers)
        name = f"{self.notebook}-{cell}.csv"
        (self.folder / "tables").mkdir(exist_ok=True)
        write_text(self.folder / "tables" / name, frame.to_csv(index=False))
        given = [(formats or {}).get(column, "") for column in frame.columns]
        shown = [
            [_written(value, form) for value, form in zip(row, given, strict=True)]
            for row in frame.itertuples(index=False, name=None)
        ]
        names = [str(header) for header in (frame.columns if headers is None else headers)]
        text = as_table(shown, names) + f"\n\n{{download}}`CSV <tables/{name}>`"
        if frame.size > MOST_NUMBERS if fold is None else fold:
            text = f"::::{{dropdown}} {title or 'The numbers'}\n{text}\n::::"
        display(Markdown(text))

    def judge(self, cell: str, claim: str, rule, *tables, dataset=None, **named) -> Outcome:
        """Apply a rule to tables of studies; show and keep its verdict.

        Parameters
        ----------
        cell : str
            Id of the cell that calls this.
        claim : str
            Id of the claim, "B11".
        rule : function
            The one that ``claims.yml`` names for the claim; its thresholds come from there.
        *tables, **named
            What the rule looks at besides; one named ``published`` gets the numbers that the paper prints.
        dataset : str, optional
            What this verdict was computed from, where it is not the dataset of the whole chapter.
        """
        entry = self.claims[claim]
        expected, thresholds = rule_of(entry)
        if rule is not expected:
            raise ValueError(f"rule: expected {entry['rule']['function']} for {claim}, received {rule.__qualname__}")
        if "published" in rule.__code__.co_varnames[: rule.__code__.co_argcount + rule.__code__.co_kwonlyargcount]:
            named = {"published": entry["published"]} | named
        outcome = rule(*tables, **named, **thresholds)
        self.record(cell, claim, outcome, dataset)
        return outcome

    def script(self, name: str, variable: str, content: Mapping) -> Path:
        """Keep data for a page's script as ``static/<name>.js``, arrays as base64 of float32; return where it is."""
        from lab.page_data import as_script

        (self.folder / "static").mkdir(exist_ok=True)
        path = self.folder / "static" / f"{name}.js"
        write_text(path, as_script(variable, content))
        return path


def _written(value, form: str) -> str:
    """Return an entry of a table as text: a number that is none as nothing, an exponent as on paper."""
    if isinstance(value, float) and np.isnan(value):
        return ""
    return tidy(value, form) if form else signed(str(value))


def first_of(networks: Mapping[str, Network]) -> Network:
    """Return the first of some networks."""
    return next(iter(networks.values()))


def accuracies(networks: Mapping[str, Network], x, labels) -> np.ndarray:
    """Return the share of images (n, …) that every network classifies as labelled, (networks,)."""
    return np.array([np.mean(net.classify(x) == labels) for net in networks.values()])
