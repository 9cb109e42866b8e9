"""Chapters that a reader may bring a network to, with images and labels: it takes the place of those of the book."""

from collections.abc import Mapping
from functools import cached_property

from bea.networks.network import Network
from lab import chapter
from lab.claims import UNDECIDED
from lab.datasets import Dataset
from lab.rules import Outcome
from lab.subject import FILES, read
from lab.wording import literal

NAME = "yours-0"  # of the network, a kind and a seed as all networks of chapters have it
PARAMETERS = (*FILES, "low", "high", "divide")  # of all these chapters


class Chapter(chapter.Chapter):
    """One run of a chapter; with the parameter ``model`` it is about that network, and judges no claim.

    Its ``networks`` are then this one alone, whichever families are named, and its ``data`` has these images to test.
    """

    def __init__(self, name: str, namespace: Mapping):
        super().__init__(name, namespace)
        self.subject = read(**{key: self.parameters[key] for key in PARAMETERS})
        if self.subject:
            self.dataset = self.content["dataset"] = self.subject.name
            shape = "×".join(map(str, self.subject.net.input_shape))
            weights = sum(layer.matrix.size for layer in self.subject.net.weighted)
            numbers = {"images": len(self.subject.x), "shape": shape, "classes": self.subject.net.classes}
            self.content["brought"] = numbers | {"weights": weights}

    @cached_property
    def data(self) -> Dataset:
        """The dataset of the book, or the images that were brought; nothing of these is there to train on."""
        if not self.subject:
            return super().data
        x, labels = self.subject.x, self.subject.labels
        return Dataset(self.subject.name, "brought by a reader", x[:0], labels[:0], x, labels)

    def networks(self, *families: str, first: int | None = None) -> dict[str, Network]:
        """Return the trained networks of some families as every chapter does, or the one that was brought."""
        return {NAME: self.subject.net} if self.subject else super().networks(*families, first=first)

    def judge(self, cell: str, claim: str, rule, *tables, dataset=None, **named) -> Outcome:
        """Judge as every chapter does; for a network that was brought, say that the claim is about others."""
        if not self.subject:
            return super().judge(cell, claim, rule, *tables, dataset=dataset, **named)
        because = f"The claim is about other networks; here everything was computed from {literal(self.dataset)}."
        outcome = Outcome(UNDECIDED, "not judged", None, because)
        self.record(cell, claim, outcome)
        return outcome
