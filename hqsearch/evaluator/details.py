"""What an evaluation tells besides its objective values.

An evaluator fills :class:`Details`, or a plain dictionary with the same keys; the worker turns
one into the other (:func:`checked`), and a wrong type fails that trial with a reason that names
the key. The log holds one flat object, with all that is not named here kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from hqsearch.evaluator.json_record import (
    FlatRecord,
    Reader,
    WrongType,
    integer,
    number,
    numbers,
    plain,
    rows_of,
    table,
    text,
    texts,
)


@dataclass(frozen=True, kw_only=True)
class LayerRow(FlatRecord):
    """One layer of an evaluated network.

    Attributes:
        layer: its module path.
        choice: how it is stored.
        weights: how many it has.
        bits: per weight.
        input: what arrives there: spikes, or numbers of some width.
        rate: probability that a neuron before it fires in a step.
        activity: part of its additions that are carried out.
        macs: multiply-accumulates (or additions) of an inference.
        energy: µJ of an inference.
        storage: KiB.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "layer": text, "choice": text, "weights": integer, "bits": number, "input": text,
        "rate": number, "activity": number, "macs": number, "energy": number, "storage": number,
    }  # fmt: skip

    layer: str | None = None
    choice: str | None = None
    weights: int | None = None
    bits: float | None = None
    input: str | None = None
    rate: float | None = None
    activity: float | None = None
    macs: float | None = None
    energy: float | None = None
    storage: float | None = None


@dataclass(frozen=True, kw_only=True)
class RungRow(FlatRecord):
    """What a trial was worth part-way: ``values`` by objective at ``epoch``."""

    readers: ClassVar[Mapping[str, Reader]] = {"epoch": integer, "values": numbers}

    epoch: int = 0
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Details(FlatRecord):
    """Facts of an evaluation; each may be missing.

    Attributes:
        average_bits: per weight, over all weight layers.
        accuracy_se: standard error of the accuracy, as a fraction; 0 is exact.
        standard_errors: of other measured objectives, by name, each in its unit.
        validation_samples: that the accuracy was measured on.
        test_samples: that a confirmation measured it on.
        training_samples: that a confirmed candidate learned from.
        correct: which of those samples were right: base64 of packed bits, in their order.
        energy_estimate: µJ, as estimated before training.
        training_seconds: of a training that was looked up and not done.
        cpu_seconds: of the worker.
        layers: a row per weight layer.
        rates: firing rates by layer, as :mod:`hqsearch.hardware` stores them.
        entropy: of the values of q, k and v, in bits, by path.
        rungs: what early stopping saw, where a trial is shown.
        epochs: that a confirmation was asked for.
        parent: seed of the parent that a confirmation trained and started from.
        division: of the recordings that this parent learned from; none where it is the study's.
        measured: everything that a budget may be about, by metric.
        versions: of the libraries.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "average_bits": number, "accuracy_se": number, "validation_samples": integer,
        "standard_errors": numbers, "test_samples": integer, "training_samples": integer,
        "correct": text, "energy_estimate": number,
        "training_seconds": number, "cpu_seconds": number, "layers": rows_of(LayerRow),
        "rates": table, "entropy": numbers, "rungs": rows_of(RungRow), "epochs": integer,
        "parent": integer, "division": integer, "measured": numbers, "versions": texts,
    }  # fmt: skip

    average_bits: float | None = None
    accuracy_se: float | None = None
    standard_errors: dict[str, float] | None = None
    validation_samples: int | None = None
    test_samples: int | None = None
    training_samples: int | None = None
    correct: str | None = None
    energy_estimate: float | None = None
    training_seconds: float | None = None
    cpu_seconds: float | None = None
    layers: tuple[LayerRow, ...] | None = None
    rates: dict[str, Any] | None = None
    entropy: dict[str, float] | None = None
    rungs: tuple[RungRow, ...] | None = None
    epochs: int | None = None
    parent: int | None = None
    division: int | None = None
    measured: dict[str, float] | None = None
    versions: dict[str, str] | None = None

    def error_of(self, objective: str) -> float | None:
        """Standard error of a measured objective, in its unit; None where it is not known."""
        if objective == "accuracy":
            return self.accuracy_se
        return (self.standard_errors or {}).get(objective)

    @property
    def error(self) -> float | None:
        """Standard error of what was measured: of the accuracy, else of the first objective that
        has one."""
        if self.accuracy_se is not None:
            return self.accuracy_se
        return next(iter((self.standard_errors or {}).values()), None)

    def with_facts(self, facts: Mapping[str, Any]) -> Details:
        """With what is recorded of every trial: library versions, fingerprints."""
        told = Details.from_json(facts)
        known = {key: getattr(told, key) for key in self.readers if key in facts}
        given = {key: value for key, value in known.items() if value is not None}
        return replace(self, **given, extra={**self.extra, **told.extra})


def checked(details: Details | Mapping[str, Any] | None) -> Details:
    """What an evaluator returned, as it may be stored.

    Raises:
        WrongType: naming the key: a value of another type than its key's, a number that is not
            finite, or what JSON does not have.
    """
    given = details.to_json() if isinstance(details, Details) else details
    try:
        read = Details.from_json(plain({} if given is None else given), strict=True)
        for index, row in enumerate(read.layers or ()):
            _require_columns(row, index)
    except WrongType as error:
        raise WrongType(f"the evaluator's details: {error}") from None
    return read


def _require_columns(row: LayerRow, index: int) -> None:
    """A layer's keys are columns of a table: no two may differ in case alone.

    Raises:
        WrongType: naming the key.
    """
    taken = {"trial", "position"}
    for key in row.to_json():
        if key.lower() in taken:
            raise WrongType(f"layers[{index}].{key}: a key that is in use already")
        taken.add(key.lower())
