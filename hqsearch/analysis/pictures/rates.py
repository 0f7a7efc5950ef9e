"""How busy every layer is, and how much the network minds its being coarse."""

from __future__ import annotations

from dataclasses import dataclass

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw, layer_rows, require_completed
from hqsearch.evaluator.tasks import ScoresResult


@dataclass(frozen=True)
class Rates:
    """Firing rates and scores by layer.

    Attributes:
        title: of the study.
        layers: that were measured, in the order of the network.
        rates: label of an assignment → layer → probability that a neuron before it fires in a
            step; only layers that read spikes.
        spread: layer → least and largest rate over the front.
        scores: dimension → value → loss that it alone adds without training; empty where no
            scoring pass was made.
    """

    title: str
    layers: tuple[str, ...]
    rates: dict[str, dict[str, float]]
    spread: dict[str, tuple[float, float]]
    scores: dict[str, dict[str, float]]


def rates_picture(facts: Facts) -> Rates:
    """Rates of the chosen members and of fp32; scores of the last scoring pass.

    Raises:
        NothingToDraw: no trial was completed, or neither rates nor scores were recorded.
    """
    require_completed(facts)
    wanted = {"uniform fp32": facts.uniform()}
    wanted |= {f"{what}, trial {t.number}": t for what, t in facts.chosen.items()}
    rates = {}
    for label, trial in wanted.items():
        own = {r.layer or "": r.rate for r in (layer_rows(trial) if trial else ())}
        measured = {layer: rate for layer, rate in own.items() if rate is not None}
        if measured:
            rates[label] = measured
    bounds: dict[str, list[float]] = {}
    for member in facts.front:
        for row in layer_rows(member):
            if row.rate is not None:
                bounds.setdefault(row.layer or "", []).append(row.rate)
    scores = _scores(facts)
    layers = dict.fromkeys([*(layer for own in rates.values() for layer in own), *scores])
    if not layers:
        raise NothingToDraw(
            f"study {facts.name!r}: its evaluator records no firing rates, and no scores were "
            f"made: hqsearch run --study {facts.name} --strategy sensitivity"
        )
    spread = {layer: (min(own), max(own)) for layer, own in bounds.items()}
    return Rates(facts.title, tuple(layers), rates, spread, scores)


def _scores(facts: Facts) -> dict[str, dict[str, float]]:
    for task in reversed(facts.tasks):
        answer = task.answer if task.kind == "scores" else None
        if isinstance(answer, ScoresResult) and answer.scores:
            return answer.scores
    return {}
