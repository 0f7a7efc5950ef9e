"""The pictures by name: from a study's facts to a drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hqsearch.analysis.pictures.bits import bit_map
from hqsearch.analysis.pictures.breakdown import breakdown_picture
from hqsearch.analysis.pictures.calibration import calibration_picture
from hqsearch.analysis.pictures.facts import Facts
from hqsearch.analysis.pictures.front import front_picture
from hqsearch.analysis.pictures.hypervolume import hypervolume_picture
from hqsearch.analysis.pictures.probabilities import probabilities_picture
from hqsearch.analysis.pictures.rates import rates_picture
from hqsearch.analysis.pictures.weights import kept_trials, weights_picture
from hqsearch.errors import InputError, UnknownName
from hqsearch.show.pictures.bits import draw_bits
from hqsearch.show.pictures.breakdown import draw_breakdown
from hqsearch.show.pictures.calibration import draw_calibration
from hqsearch.show.pictures.drawing import Drawing
from hqsearch.show.pictures.front import draw_front
from hqsearch.show.pictures.hypervolume import draw_hypervolume
from hqsearch.show.pictures.probabilities import draw_probabilities
from hqsearch.show.pictures.rates import draw_rates
from hqsearch.show.pictures.weights import draw_weights
from hqsearch.wording import option


@dataclass(frozen=True)
class Kind:
    """One kind of picture: its heading in the report, and how it is drawn of one study."""

    heading: str
    draw: Callable[[Facts], Drawing]


#: In the order of the report.
KINDS = {
    "front": Kind("The front", lambda f: draw_front(front_picture([f]))),
    "bits": Kind("Which layer takes what", lambda f: draw_bits(bit_map(f))),
    "breakdown": Kind(
        "Where energy and storage go", lambda f: draw_breakdown(breakdown_picture(f))
    ),
    "probabilities": Kind(
        "How the supernet decided", lambda f: draw_probabilities(probabilities_picture(f))
    ),
    "weights": Kind(
        "Weights before and after", lambda f: draw_weights(weights_picture(f, _kept(f)))
    ),
    "rates": Kind("Firing rates and scores", lambda f: draw_rates(rates_picture(f))),
    "hypervolume": Kind(
        "How the search went on", lambda f: draw_hypervolume(hypervolume_picture(f))
    ),
    "calibration": Kind(
        "Predicted against measured", lambda f: draw_calibration(calibration_picture(f))
    ),
}


def drawing(
    kind: str, studies: Sequence[Facts], trial: int | None = None, task: int | None = None
) -> Drawing:
    """A picture.

    Args:
        studies: several for ``front`` only.
        trial: for ``weights``, whose; its weights have to be kept.
        task: for ``probabilities``, which supernet.

    Raises:
        UnknownName: no such kind; the nearest is named.
        InputError: a study has not got what it shows, or options that do not go together.
    """
    check_kind(kind, len(studies), trial, task)
    if kind == "front":
        return draw_front(front_picture(studies))
    if kind == "weights":
        shown = trial if trial is not None else _kept(studies[0])
        return draw_weights(weights_picture(studies[0], shown))
    if kind == "probabilities":
        return draw_probabilities(probabilities_picture(studies[0], task))
    return KINDS[kind].draw(studies[0])


def check_kind(kind: str, studies: int, trial: int | None, task: int | None) -> None:
    """Refuse what does not go together, before anything is read."""
    if kind not in KINDS:
        raise UnknownName("picture", kind, KINDS)
    if studies > 1 and kind != "front":
        raise InputError(f"several studies go into one picture of their fronts; {kind!r} shows one")
    if trial is not None and kind != "weights":
        raise InputError(f"{option('trial')} goes with the picture 'weights', not {kind!r}")
    if task is not None and kind != "probabilities":
        raise InputError(f"{option('task')} goes with the picture 'probabilities', not {kind!r}")


def _kept(facts: Facts) -> int:
    """The trial whose weights are shown: the knee's where they are kept, else any that are."""
    kept = kept_trials(facts)
    wanted = [t.number for t in facts.chosen.values() if t.number in kept]
    if wanted or kept:
        return (wanted or kept)[0]
    knee = facts.chosen.get("knee") or facts.chosen.get("cheapest")
    return knee.number if knee is not None else 0
