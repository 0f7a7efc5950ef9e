"""``short-qat``: short quantization-aware training from a trained parent.

A candidate is the parent with fake quantizers, trained a few epochs more; its accuracy is
measured on the validation split, and the firing rates of the *quantized* network feed its
recorded energy, for quantization shifts rates even at equal accuracy (arXiv 2604.14487).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hqsearch.analysis.paired import pack_correct
from hqsearch.definition import validate
from hqsearch.evaluator import Evaluation
from hqsearch.hardware import CostModel, LayerRate, rates_to_json
from hqsearch.problem.candidate import Candidate
from hqsearch.qat.evaluator import RATE_SAMPLES, QatStudy
from hqsearch.schemes.choice import parse_choice
from hqsearch.training.state import load_state

if TYPE_CHECKING:
    from hqsearch.qat.relaxation import Batching, QatRelaxation


class ShortQat(QatStudy):
    """Parent + fake quantizers + a few epochs; see the module's docstring."""

    can_confirm: ClassVar[bool] = True
    strategy_tasks: ClassVar[frozenset[str]] = frozenset({"scores", "supernet"})

    @property
    def full_budget(self) -> int:
        return max(int(self.options.epochs), 1)

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Parent + quantizers + ``budget`` of the schedule's epochs, measured on validation.

        Deterministic for its arguments on one machine with one thread count.
        """
        return self._measured(
            candidate, seed, self.options.epochs, "validation", budget, resume_from, checkpoint
        )

    def confirm(self, candidate: Candidate, seed: int, epochs: int | None = None) -> Evaluation:
        """The same parent and schedule, other batches and shifts; measured on the test split."""
        return self._measured(
            candidate, seed, self.options.epochs if epochs is None else epochs, "test"
        )

    def _measured(
        self,
        candidate: Candidate,
        seed: int,
        epochs: int,
        split: Literal["validation", "test"],
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        import torch

        from hqsearch.quant import quantize_model
        from hqsearch.training.loop import Schedule, train

        options, data = self.options, self._data
        torch.set_num_threads(options.threads)
        structure = self.space.structural_key(candidate)
        model = self._build()
        load_state(model, self._parent_folder(structure) / "parent.safetensors")
        choices = self.space.assignment(candidate)
        quantize_model(model, choices)
        trained = train(
            model,
            data.train.frames,
            data.train.labels,
            data.encoding.to_float,
            Schedule(
                epochs=epochs,
                learning_rate=options.learning_rate,
                batch_size=options.batch_size,
                shift=options.shift,
                seed=seed,
            ),
            device=self.setup.device,
            until_epoch=budget,
            resume_from=resume_from,
            checkpoint=checkpoint,
        )
        result = self._validate(model, split)
        model.cpu().eval()
        costs = self._cost_model(structure)
        rates = self._measure_rates(model, costs.workload)
        energy, storage = costs.energy(choices, rates), costs.storage(choices)
        details = {
            "average_bits": storage.average_bits,
            "accuracy_se": result.standard_error,
            f"{split}_samples": len(result.correct),
            "correct": pack_correct(result.correct),
            f"{split}_loss": result.loss,
            "training_loss": [round(e.loss, 5) for e in trained.history],
            "rate_samples": min(RATE_SAMPLES, len(data.validation)),
            "energy_estimate": float(self.cheap([candidate])[0, 0]),
            "layers": self._layer_rows(costs, choices, rates),
            "rates": rates_to_json(rates),
        }
        values = {"accuracy": result.accuracy, "energy": energy.total, "storage": storage.kib}
        return Evaluation(values, details, checkpoint)

    def strategy_task(
        self, kind: str, payload: dict[str, Any], seed: int, folder: Path
    ) -> dict[str, Any]:
        if kind == "supernet":
            return self._train_supernet(payload, seed, folder)
        if kind == "scores":
            return self._score(seed)
        return super().strategy_task(kind, payload, seed, folder)

    def _score(self, seed: int) -> dict[str, Any]:
        import torch

        from hqsearch.qat.scores import score_choices

        torch.set_num_threads(self.options.threads)
        model, data = self._build(), self._data
        load_state(model, self._parent_folder("") / "parent.safetensors")
        train, to_float = data.train, data.encoding.to_float
        return score_choices(
            model, self.space, train.frames, train.labels, to_float, seed, self.setup.device
        )

    def relaxation(self, batching: Batching) -> QatRelaxation:
        """The parent with mixed quantizers, for a supernet; needs :meth:`prepare`."""
        from hqsearch.qat.relaxation import QatRelaxation

        model, data = self._build(), self._data
        load_state(model, self._parent_folder("") / "parent.safetensors")
        return QatRelaxation(
            model,
            self.space,
            self._cost_model(""),
            data.train,
            data.encoding.to_float,
            batching,
            self.setup.device,
        )

    def _train_supernet(self, payload: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
        import torch

        from hqsearch.qat.relaxation import Batching
        from hqsearch.supernet.options import SupernetOptions
        from hqsearch.supernet.train import run_supernet

        torch.set_num_threads(self.options.threads)
        given = validate(SupernetOptions, payload, "the supernet's payload")
        batch_size = given.batch_size or self.options.batch_size
        batching = Batching(given.held_out, batch_size, self.options.shift, seed)
        return run_supernet(self.relaxation(batching), payload, seed, folder, self)

    def _layer_rows(
        self, costs: CostModel, choices: Mapping[str, str], rates: Mapping[str, LayerRate]
    ) -> list[dict[str, Any]]:
        energy = {row.path: row for row in costs.energy(choices, rates).rows}
        storage = {row.path: row for row in costs.storage(choices).layers}
        rows = []
        for layer in self._layers:
            rate = rates.get(layer.path)
            rows.append(
                {
                    "layer": layer.path,
                    "choice": choices[layer.path],
                    "weights": layer.weights,
                    "bits": parse_choice(choices[layer.path]).bits,
                    "input": energy[layer.path].input_kind,
                    "rate": _finite(rate.rate) if rate else None,
                    "activity": _finite(rate.activity) if rate else None,
                    "macs": energy[layer.path].macs,
                    "energy": energy[layer.path].total,
                    "storage": storage[layer.path].total / 8192,
                }
            )
        return rows


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
