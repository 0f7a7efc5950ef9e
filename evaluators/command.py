"""``command``: any program that trains a candidate and prints what came of it.

::

    evaluator = "command"
    [evaluation]
    command = ["python", "train.py", "--assignment", "{assignment}", "--seed", "{seed}"]
    layers = {conv1 = 1728, conv2 = 36864, head = 1280}

``{assignment}`` is a JSON file with the choice of every layer. The program ends with one JSON
object on the last line of its standard output (or in the file ``{result}``), such as
``{"accuracy": 0.913, "samples": 1000}``. It runs in the folder of the study's definition.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.command.answer import (
    binomial_error,
    facts_of,
    objective_value,
    rates_in,
    read_answer,
)
from hqsearch.command.costs import CodeCosts, Costs, NetworkCosts, costs_of
from hqsearch.command.options import CommandOptions, filled, placeholders_in
from hqsearch.command.process import run
from hqsearch.definition import EvaluationOptions
from hqsearch.errors import DefinitionError, RunFailed
from hqsearch.evaluator import Evaluation, Evaluator, Setup
from hqsearch.hardware import rates_to_json
from hqsearch.plugins import file_identity
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.problem.space import LayerSize
from hqsearch.schemes.choice import parse_choice


class Command(Evaluator):
    """A program as an evaluator; see the module's docstring and the guide's page *your
    training script*.
    """

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = CodeCosts.metrics
    costly: ClassVar[bool] = True
    can_confirm: ClassVar[bool] = True
    Options: ClassVar[type[EvaluationOptions]] = CommandOptions

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        definition, options = setup.definition, self.options
        known_network = definition.model is not None or options.workload is not None
        chosen = [o.name for o in definition.objective]
        measured = [
            Objective(name, one.unit, one.direction) for name, one in options.measures.items()
        ]
        for one in measured:
            if one.name in (ACCURACY.name, ENERGY.name, STORAGE.name, "average_bits"):
                raise DefinitionError(
                    f"study {definition.name!r} [evaluation]: measures.{one.name}: this objective "
                    "has its unit and direction; name it in [[objective]] alone"
                )
        if ACCURACY.name in chosen or not measured:
            measured = [ACCURACY, *measured]
        metrics = CodeCosts.metrics
        if known_network:
            measured, metrics = [*measured, ENERGY], NetworkCosts.metrics
        elif ENERGY.name in chosen:
            measured.append(replace(ENERGY, cheap=False))
        named = placeholders_in(options.command)
        # Class attributes of the contract, which here depend on the study.
        self.__dict__.update(
            objectives=(*measured, STORAGE),
            metrics=metrics,
        )
        self._in_parts = "budget" in named

    @cached_property
    def costs(self) -> Costs:
        """Of candidates, before they are trained."""
        return costs_of(self.setup.definition, self.options)

    def layers(self) -> Sequence[LayerSize]:
        return self.costs.layers

    @property
    def full_budget(self) -> int:
        return int(self.options.epochs) if self._in_parts else 1

    def cheap(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        return self.costs.cheap(self.space, candidates)

    def reference(self) -> Mapping[str, float]:
        return self.costs.reference()

    def check(self) -> None:
        """The program and the files that the command names are there.

        Raises:
            DefinitionError: one is not; it says which, and where it was looked for.
        """
        folder, first = self._folder, self.options.command[0]
        program = filled((first,), {"python": sys.executable})[0]
        if shutil.which(program) is None and not (folder / program).is_file():
            other = "; {python} is the one that hqsearch runs in" if first == "python" else ""
            raise DefinitionError(f"command: there is no program {program!r} on PATH{other}")
        for word in self.options.command[1:]:
            if word.endswith(".py") and "{" not in word and not (folder / word).is_file():
                raise DefinitionError(f"command: there is no file {word} in {folder}")

    def assumptions(self) -> list[str]:
        if "split" in placeholders_in(self.options.command):
            return []
        return [
            "the command has no {split}: what it prints had better be of validation samples, "
            "and hqsearch confirm cannot ask it for the test split."
        ]

    def fingerprint(self) -> dict[str, Any]:
        """Files that the command names count by their contents."""
        definition, options = self.setup.definition, self.options
        told: dict[str, Any] = {**super().fingerprint(), "command": self._files()}
        if isinstance(self.costs, NetworkCosts):
            told["hardware"] = self.costs.profile.contents()
        if options.workload is not None:
            told["workload"] = _digest(definition.located(options.workload))
        if definition.model is not None:
            told["model"] = definition.model.model_dump(mode="json", exclude_none=True)
            if definition.model.path is not None:
                told["model"]["path"] = file_identity(definition.model.path, definition.folder)
        return told

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Run the command for a candidate, on the validation split.

        Raises:
            TrialFailed: it failed, or did not answer as it should; quotes its standard error.
        """
        length = self.options.epochs
        epochs = length if budget is None or not self._in_parts else budget
        if checkpoint is not None:
            checkpoint.mkdir(parents=True, exist_ok=True)
        resume = str(resume_from) if resume_from is not None and resume_from.is_dir() else ""
        return self._run(candidate, seed, epochs, length, "validation", resume, checkpoint)

    def confirm(self, candidate: Candidate, seed: int, epochs: int | None = None) -> Evaluation:
        """The same on the test split, for which the command says ``{split}``."""
        self.require_confirmable(epochs)
        length = self.options.epochs if epochs is None else epochs
        return self._run(candidate, seed, length, length, "test", "", None)

    def require_confirmable(self, epochs: int | None = None) -> None:
        named = set(placeholders_in(self.options.command))
        if "split" not in named:
            raise DefinitionError(
                "confirm: the command has no {split}, so it cannot be asked for the test split"
            )
        if epochs not in (None, self.options.epochs) and not {"budget", "epochs"} & named:
            raise DefinitionError(
                "confirm: the command has neither {budget} nor {epochs}, so it cannot be asked "
                f"for {epochs} epochs"
            )

    def _run(
        self,
        candidate: Candidate,
        seed: int,
        budget: int,
        epochs: int,
        split: str,
        resume: str,
        checkpoint: Path | None,
    ) -> Evaluation:
        options, folder = self.options, self._folder
        if not folder.is_dir():
            raise RunFailed(f"{folder}, where the command runs, does not exist on this machine")
        with tempfile.TemporaryDirectory(prefix="hqsearch-command-") as scratch:
            place = Path(scratch)
            assignment, result = place / "assignment.json", place / "result.json"
            (place / "checkpoint").mkdir()
            assignment.write_text(json.dumps(self._assignment(candidate, seed, budget, split)))
            values = {
                "assignment": str(assignment),
                "result": str(result),
                "seed": str(seed),
                "budget": str(budget),
                "epochs": str(epochs),
                "split": split,
                "checkpoint": str(checkpoint or place / "checkpoint"),
                "resume": resume,
                "python": sys.executable,
            }
            done = run(filled(options.command, values), folder, self._environment())
            asked = "result" in placeholders_in(options.command)
            answer = read_answer(done, result if asked else None)
        return self._evaluation(candidate, answer, split)

    def _evaluation(self, candidate: Candidate, answer: dict[str, Any], split: str) -> Evaluation:
        estimate = dict(zip(self.metrics, self.cheap([candidate])[0].tolist(), strict=True))
        values = {}
        for one in self.objectives:
            if one.cheap and one.name not in answer:
                values[one.name] = estimate[one.name]
            else:
                values[one.name] = objective_value(answer, one.name, one.unit)
        details = facts_of(answer, values, split)
        if isinstance(self.costs, NetworkCosts):
            rates = rates_in(details, self.costs.workload.layers)
            if rates:
                values[ENERGY.name] = self.costs.measured_energy(self.space, candidate, rates)
                details |= {"rates": rates_to_json(rates), "energy_estimate": estimate[ENERGY.name]}
        details.setdefault("average_bits", estimate["average_bits"])
        samples = details.get(f"{split}_samples")
        if "accuracy_se" not in details and ACCURACY.name in values:
            error = binomial_error(values[ACCURACY.name], samples)
            details |= {} if error is None else {"accuracy_se": error}
        return Evaluation(values, details)

    def _assignment(
        self, candidate: Candidate, seed: int, budget: int, split: str
    ) -> dict[str, Any]:
        """What ``{assignment}`` holds: its format's version, and all that the command may need."""
        choices = self.space.assignment(candidate)
        rows = []
        for layer in self.layers():
            choice = parse_choice(choices[layer.path])
            rows.append(
                {
                    "layer": layer.path,
                    "choice": choices[layer.path],
                    "scheme": choice.scheme.name,
                    "bits": choice.bits,
                    "weights": layer.weights,
                }
            )
        return {
            "format": 1,
            "choices": dict(choices),
            "layers": rows,
            "seed": seed,
            "budget": budget,
            "split": split,
        }

    def _environment(self) -> dict[str, str]:
        threads = str(self.options.threads)
        return dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
        )

    @property
    def _folder(self) -> Path:
        """Where the command runs: where the definition is."""
        return self.setup.definition.folder.resolve()

    def _files(self) -> dict[str, str]:
        """Words of the command that are files in its folder, with their contents' hashes."""
        files = {}
        for word in self.options.command:
            place = self._folder / word
            if "{" not in word and word and place.is_file():
                files[word] = _digest(place)
        return files


def _digest(file: Path) -> str:
    return f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"
