"""A study as far as costs need it: its log, if it has one, its network and its profile.

The log is what a study is; its definition file only counts before there is one. Every
substitution (of a profile, of rates) is told in ``notes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Protocol, runtime_checkable

from hqsearch.analysis.overview import opened_results
from hqsearch.definition import (
    StudyDefinition,
    find_definition,
    load_study,
    located_definition,
    study_name,
)
from hqsearch.definition.differences import differences
from hqsearch.errors import DefinitionError, InputError, StudyMismatch
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.hardware import Constant, Profile, Workload, load_profile
from hqsearch.hardware.workload import COUNTING
from hqsearch.problem.space import LayerSize, Space
from hqsearch.store.records import TrialRow
from hqsearch.wording import command

EARLIER_COUNTING: Final = (
    "the study was recorded by recipe 1, whose counting is used here, too: r·M with the operations "
    "on padding, and parameters that nothing reads as stored; today's counts are lower and do not "
    "compare"
)


@dataclass(frozen=True)
class CostRequest:
    """What a person asked ``hqsearch cost`` for; see its help."""

    study: str
    studies_dir: Path = Path("studies")
    storage: str | None = None
    data: Path | None = None
    trial: int | None = None
    uniform: str | None = None
    assign: tuple[str, ...] = ()
    rate: float | None = None
    profile: str | None = None
    sensitivity: bool = False
    seed: int | None = None
    unknown_as_real: bool = False


class CostStudy:
    """A study as far as costs need it: its log, if it has one, its network and its profile."""

    def __init__(self, request: CostRequest) -> None:
        self.request = request
        self.notes: list[str] = []
        self.name = study_name(request.study)
        self.folder = request.studies_dir.resolve() / self.name
        self.trials: list[TrialRow] = []
        self.front: list[TrialRow] = []
        self.attributes: dict[str, Any] = {}
        if request.storage is not None or (self.folder / "study.db").exists():
            self._read_log()
        self.definition = self._definition()
        evaluator: Evaluator = make_evaluator(Setup(self.definition, self.folder))
        if not isinstance(evaluator, Traceable):
            show = command("show", self.name, "--trial", "N", studies_dir=self.folder.parent)
            raise InputError(
                f"study {self.name!r}: evaluator {self.definition.evaluator!r} has no workload, "
                f"so there is no network whose costs could be computed; {show} lists what it "
                "recorded, layer by layer"
            )
        self.evaluator: Traceable = evaluator
        self.space: Space = evaluator.space
        self.notes += evaluator.assumptions()

    def _read_log(self) -> None:
        request = self.request
        with opened_results(self.name, request.studies_dir, request.storage) as results:
            self.attributes = results.attributes
            self.trials, self.front = results.trials(), results.front()

    def _definition(self) -> StudyDefinition:
        overrides: dict[str, Any] = {}
        if self.request.data is not None:
            overrides["data.path"] = str(self.request.data.expanduser().resolve())
        if "definition" not in self.attributes:
            path = find_definition(self.request.study, self.request.studies_dir)
            return load_study(path, overrides)
        request = self.request
        recorded = located_definition(self.attributes, request.study, request.studies_dir)
        if overrides and recorded.data is not None:
            data = recorded.data.model_copy(update={"path": Path(overrides["data.path"])})
            recorded = recorded.model_copy(update={"data": data})
        self._tell_other_profile(recorded)
        return recorded

    def _tell_other_profile(self, recorded: StudyDefinition) -> None:
        if self.request.profile is not None:
            return
        try:
            now = load_study(find_definition(self.request.study, self.request.studies_dir))
        except InputError:
            return  # the definition file may be gone: the log holds what counts
        if now.hardware.profile != recorded.hardware.profile:
            self.notes.append(
                f"the definition names hardware profile {now.hardware.profile!r}, but the study "
                f"was recorded with {recorded.hardware.profile!r}, which is used; --profile "
                "computes with another"
            )

    @cached_property
    def recorded(self) -> Profile | None:
        """The profile that the study's energies were recorded with."""
        contents = self.attributes.get("fingerprint", {}).get("hardware")
        return _from_contents(contents) if contents else None

    @cached_property
    def profile(self) -> Profile:
        """The profile asked for, else the recorded one, else the definition's."""
        asked = self.request.profile
        if asked is not None:
            profile = load_profile(asked)
            if self.recorded is not None:
                told = differences(self.recorded.contents(), profile.contents())
                if told:
                    self.notes.append(
                        f"computed with profile {profile.name!r} as --profile asks; the study's "
                        f"recorded energies rest on {self.recorded.name!r} and do not compare: "
                        + listed(told)
                    )
            return profile
        name = self.definition.hardware.profile
        located = self.definition.located(name) if name.endswith(".toml") else name
        if self.recorded is None:
            return load_profile(located)
        try:
            current = load_profile(located)
        except InputError as error:
            self.notes.append(f"computed with the profile as recorded: {error}")
            return self.recorded
        told = differences(self.recorded.contents(), current.contents())
        if told:
            self.notes.append(
                f"profile {name!r} has changed since the study was recorded; computed with the "
                f"recorded one: {listed(told)}; --profile {name} computes with the changed one"
            )
            return self.recorded
        return current

    @cached_property
    def part(self) -> str:
        """Key of the structural part whose network is costed: the trial's, else the first one.

        Empty without structural dimensions.
        """
        first = next(iter(self.space.parts))
        if self.request.trial is None:
            return first
        found = self.space.candidate(self.row(self.request.trial).choices)
        return self.space.structural_key(found)

    @cached_property
    def workload(self) -> Workload:
        """The network, with the firing rates to use where no trial brings its own."""
        request, of_part = self.request, (self.part,) if self.part else ()
        if self.part:
            self.notes.append(f"costs are those of the network with {self.part}")
        prepared = self.evaluator.workload(*of_part)
        if prepared is None and request.rate is None:
            raise InputError(
                f"study {self.name!r} has no prepared parent whose firing rates could be used: "
                "give --rate R (the share of neurons that fire in a step, such as 0.15), or run "
                "the study first"
            )
        if prepared is not None:
            self._check_network(prepared)
            if prepared.counting != COUNTING:
                self.notes.append(EARLIER_COUNTING)
            else:
                self._tell_earlier_recipe()
            for option, given in (
                ("--data", request.data is not None),
                ("--unknown-as-real", request.unknown_as_real),
            ):
                if given:
                    self.notes.append(f"{option} changes nothing: the parent is prepared")
            return prepared if request.rate is None else prepared.with_rate(request.rate)
        assert request.rate is not None
        try:
            traced = self.evaluator.trace("real" if request.unknown_as_real else None, *of_part)
        except DefinitionError as error:
            raise DefinitionError(f"{error} On the command line: --unknown-as-real.") from None
        unknown = [op.path for op in traced.operations if op.kind == "unknown"]
        if unknown:
            self.notes.append(f"counted as real-valued MACs, one per output: {listed(unknown)}")
        return traced.with_rate(request.rate)

    def _tell_earlier_recipe(self) -> None:
        recorded = self.attributes.get("fingerprint", {}).get("recipe")
        now = getattr(self.evaluator, "recipe", recorded)
        if recorded is not None and recorded != now:
            self.notes.append(
                f"the study was recorded by recipe {recorded}; what is computed here is of recipe "
                f"{now} and does not compare with what it holds (hqsearch guide versions)"
            )

    def _check_network(self, prepared: Workload) -> None:
        defined = {layer.path: layer.weights for layer in self.evaluator.layers()}
        # Layers outside what is searched are in a trace, too.
        traced = {p: op.weights for p, op in prepared.layers.items() if p in defined}
        told = differences({"weights of": traced}, {"weights of": defined})
        if told:
            raise StudyMismatch(
                f"the parent in {self.folder} was prepared from another network than the one "
                f"that is defined now: {listed(told)}. Use the earlier definition, or another "
                "--studies-dir."
            )

    @property
    def rates_text(self) -> str:
        """Where the firing rates of the workload come from."""
        if self.request.rate is not None:
            return f"stated: every neuron fires with probability {self.request.rate:g} per step"
        return "measured on the fp32 parent"

    def row(self, trial: int) -> TrialRow:
        """A trial of the log.

        Raises:
            InputError: there is no such trial.
        """
        found = next((t for t in self.trials if t.number == trial), None)
        if found is None:
            raise InputError(f"study {self.name!r} has no trial {trial}")
        return found


@runtime_checkable
class Traceable(Protocol):
    """What an evaluator must offer beyond its contract, so that its network can be costed."""

    @property
    def space(self) -> Space: ...
    def layers(self) -> Sequence[LayerSize]: ...
    def workload(self, structure: str = ...) -> Workload | None:
        """That of the prepared parent, with its firing rates; None before it is prepared.

        ``structure`` is the key of a structural part, where there are any.
        """

    def trace(self, unknown: Literal["refuse", "real"] | None, structure: str = ...) -> Workload:
        """That of the untrained network, without firing rates."""


def _from_contents(contents: Mapping[str, Any]) -> Profile:
    """A profile as a study's fingerprint holds it, which is all but its title and sources."""
    constants = {
        name: Constant(c["value"], c["unit"], c["origin"], "recorded with the study")
        for name, c in contents["constants"].items()
    }
    return Profile(contents["name"], "as recorded with the study", contents["rules"], constants)


def listed(told: Sequence[str], count: int = 4) -> str:
    """The first few, and how many more there are."""
    more = f" (and {len(told) - count} more)" if len(told) > count else ""
    return "; ".join(told[:count]) + more
