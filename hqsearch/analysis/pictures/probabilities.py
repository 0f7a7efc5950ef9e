"""How a supernet's selection probabilities moved, as figure 3 of SpikeHQ (arXiv 2412.05505)."""

from __future__ import annotations

from dataclasses import dataclass

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw
from hqsearch.analysis.supernets import Learned, history, learned_in


@dataclass(frozen=True)
class Probabilities:
    """One supernet.

    Attributes:
        title: of the study and the supernet.
        index: of the supernet's task in its run.
        epochs: ``[n]``.
        dimensions: dimension → its values, in order.
        probabilities: dimension → ``[n][values]``.
    """

    title: str
    index: int
    epochs: tuple[int, ...]
    dimensions: dict[str, tuple[str, ...]]
    probabilities: dict[str, tuple[tuple[float, ...], ...]]

    @property
    def kinds(self) -> list[str]:
        """The choices that occur."""
        return sorted({v for values in self.dimensions.values() for v in values})


def probabilities_picture(facts: Facts, index: int | None = None) -> Probabilities:
    """Selection probabilities by epoch of one supernet of the last run that trained any.

    Args:
        index: of the supernet; the middle one where none is named.

    Raises:
        NothingToDraw: no supernet was trained, or none finished.
        RunFailed: the history is missing, or not the one that the log names.
    """
    if not any(task.kind == "supernet" for task in facts.tasks):
        raise NothingToDraw(
            f"study {facts.name!r} has trained no supernet: "
            f"hqsearch run --study {facts.name} --strategy gumbel"
        )
    strategy = _strategy(facts)
    kept = learned_in(facts.name, facts.folder, facts.runs, facts.tasks, facts.records, strategy)
    return from_learned(kept, index)


def _strategy(facts: Facts) -> str:
    """Of the last run that trained supernets."""
    last = max(task.run for task in facts.tasks if task.kind == "supernet")
    return next(run.strategy for run in facts.runs if run.ordinal == last)


def from_learned(supernets: Learned, index: int | None) -> Probabilities:
    """The same, of supernets that were read already."""
    task, told = history(supernets, index)
    names: dict[str, list[str]] = told["dimensions"]
    return Probabilities(
        title=f"{supernets.study}, {task.label}",
        index=task.index,
        epochs=tuple(int(e["epoch"]) for e in told["epochs"]),
        dimensions={name: tuple(values) for name, values in names.items()},
        probabilities={
            name: tuple(tuple(map(float, e["probabilities"][place])) for e in told["epochs"])
            for place, name in enumerate(names)
        },
    )
