"""The differentiable stand-in of ``short-qat``: the parent with a mixed quantizer on every layer.

Weights learn on the training split without its held-out part, logits on that part; validation
and test are never read. Costs are the cost model's own tables at the firing rates of the mixed
network, linear in the mixture but for what does not fit into the weight memory, which is that of
the expected bits: less than the expected cost (Jensen), so that targets are kept by the exact
costs of what is derived. A reconstruction of SpikeHQ (arXiv 2412.05505), whose loss and
schedule are not published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from hqsearch.hardware import CostModel, LayerRate
from hqsearch.hardware.rates import RateMeter
from hqsearch.problem.space import Space
from hqsearch.qat.costs import METRICS, fp32_metrics, overflow_of
from hqsearch.qat.held_out import held_out_part, rows_of
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model
from hqsearch.quant.mixture import mix_model
from hqsearch.schemes.choice import parse_choice
from hqsearch.supernet.relaxation import Learn, Relaxation
from hqsearch.training import Teacher
from hqsearch.training.batches import (
    Augmentation,
    BorderName,
    Samples,
    plain_batches,
    training_batches,
)
from hqsearch.training.finite import require_finite
from hqsearch.training.memory import keep_freed_memory
from hqsearch.training.task import CLASSIFICATION, Task

#: Held-out samples that firing rates are measured on after every epoch, and how many at a time.
RATE_SAMPLES = 64
RATE_BATCH = 32
_LOGITS = 1


@dataclass(frozen=True)
class Batching:
    """How the training split is divided and read.

    Attributes:
        held_out: part of every class that the logits learn on, 0 to 1.
        batch_size: N of a step.
        shift: augmentation by shifts of up to this many pixels.
        seed: of the division, the order and the augmentation.
        flip: mirror half of the samples left to right.
        border: what moves in where a sample is shifted.
    """

    held_out: float
    batch_size: int
    shift: int
    seed: int
    flip: bool = False
    border: BorderName = "zero"


@dataclass(frozen=True)
class Goal:
    """What a relaxation's weights and logits learn.

    Attributes:
        teacher: of the model, where weights learn of one, too; None: of the labels alone.
        task: whose loss they lower.
        label_smoothing: of that loss.
    """

    teacher: Teacher | None = None
    task: Task = CLASSIFICATION
    label_smoothing: float = 0.0


class QatRelaxation(Relaxation):
    """See the module's docstring.

    Args:
        model: the trained parent in fp32; it is changed in place.
        space: its weight layers; structural dimensions are none of its business.
        costs: tables of every layer of the space at the parent's firing rates, which also say
            what the fp32 network costs that costs are a fraction of.
        training: the training split.
        batching: how the split is divided and read.
        device: where to compute.
        goal: what weights and logits learn.

    Raises:
        DefinitionError: a training split too small to hold a part of it out.
    """

    metrics = METRICS

    def __init__(
        self,
        model: nn.Module,
        space: Space,
        costs: CostModel,
        training: Samples,
        batching: Batching,
        device: str = "cpu",
        goal: Goal | None = None,
    ) -> None:
        goal = goal or Goal()
        self._teacher, self._task = goal.teacher, goal.task
        self._label_smoothing = goal.label_smoothing
        keep_freed_memory()
        self.choices = tuple(len(d.values) for d in space.dimensions)
        self._space, self._parent_costs = space, costs
        self._to_float, self._batching, self._device = training.to_float, batching, device
        learn, held = held_out_part(training.labels, batching.held_out, batching.seed)
        self._learn, self._held = rows_of(training, learn), rows_of(training, held)
        quantize_model(model, dict(space.pinned))
        mixed = mix_model(model, {p: d.values for d in space.dimensions for p in d.layers})
        self._mixed = [[mixed[path] for path in d.layers] for d in space.dimensions]
        self._model = model.to(device).train()
        self._rates: dict[str, LayerRate] = {}
        fp32 = fp32_metrics(costs)
        self._unit = torch.tensor([fp32[name] for name in self.metrics], dtype=torch.float64)
        self._overflow = overflow_of(costs, always=True)  # of bits: rates do not move it
        self._table, self._rest = self._cost_tables(costs)

    # Weights

    def named_parameters(self) -> dict[str, Tensor]:
        return {name: p for name, p in self._model.named_parameters() if p.requires_grad}

    def no_decay(self) -> frozenset[str]:
        return frozenset(name for name, p in self.named_parameters().items() if p.ndim < 2)

    # Batches

    def weight_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches(self._learn, (self._batching.seed, epoch))

    def weight_steps(self) -> int:
        return -(-len(self._learn.labels) // self._batching.batch_size)

    def logit_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        state = np.random.SeedSequence([self._batching.seed, _LOGITS]).generate_state(1)
        return self._batches(self._held, (int(state[0]), epoch))

    def _batches(self, part: Samples, key: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
        batching = self._batching
        changed = Augmentation(batching.shift, batching.flip, batching.border)
        return training_batches(part.frames, part.labels, batching.batch_size, key, changed)

    # Loss

    def loss(self, mixture: Sequence[Tensor], batch: tuple[Tensor, Tensor], learn: Learn) -> Tensor:
        """The task's loss of ``batch``: frames uint8 ``[T, N, C, H, W]``, labels ``[N]``.

        Logit steps normalise by the statistics of their batch, as weight steps do: running
        statistics are averages over the mixtures of many steps and fit none of them. They
        stay as they are.
        """
        frames, labels = batch
        inputs = self._to_float(frames.to(self._device))
        inputs, target = self._task.prepare(inputs, labels.to(self._device))
        if learn == "weights":
            self._mix([g.detach() for g in mixture])
            if self._teacher is not None:
                with self._teacher as teacher:
                    logits = self._model(inputs)
                    return teacher.loss(self._task_loss(logits, target), inputs, logits)
            logits = self._model(inputs)
        else:
            self._mix(mixture)
            with self._without_weights():
                logits = self._run_unchanged(inputs)
        return self._task_loss(logits, target)

    def _task_loss(self, logits: Tensor, target: Any) -> Tensor:
        return self._task.loss(logits, target, self._label_smoothing)

    def _mix(self, mixture: Sequence[Tensor]) -> None:
        shares = torch.cat([g.detach() for g in mixture]).tolist()
        whole = torch.cat(list(mixture)).to(self._device).split(self.choices)
        start = 0
        for g, layers in zip(whole, self._mixed, strict=True):
            for quantizer in layers:
                quantizer.mix(g, shares[start : start + len(g)])
            start += len(g)

    @contextmanager
    def _without_weights(self) -> Iterator[None]:
        """Weights want no gradient of what is computed meanwhile."""
        learning = [p for p in self._model.parameters() if p.requires_grad]
        for parameter in learning:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in learning:
                parameter.requires_grad_(True)

    def _run_unchanged(self, inputs: Tensor) -> Tensor:
        """The network in training mode on copies of its buffers, so that these stay."""
        buffers = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
        logits: Tensor = functional_call(self._model, buffers, (inputs,))
        return logits

    # Costs

    def costs(self, mixture: Sequence[Tensor]) -> Tensor:
        """Expected energy, storage and average bits ``[3]``, as fractions of the fp32 parent's."""
        whole = torch.cat(list(mixture)).double()
        total = whole @ self._table + self._rest
        if self._overflow is not None:
            excess = (total[self._overflow.total] - self._overflow.capacity).clamp(min=0.0)
            paid = torch.zeros_like(total)
            paid[self._overflow.column] = self._overflow.price * excess
            total = total + paid
        return (total / self._unit).float()

    def _cost_tables(self, costs: CostModel) -> tuple[Tensor, Tensor]:
        """Costs of each value of each dimension ``[sum(choices), 3]``, and of all the rest."""
        energy, bits = costs.tables()
        layers = costs.workload.layers
        total = max(costs.workload.weights, 1)
        stored = {path: 0 if op.shared else op.weights for path, op in layers.items()}
        rows = {
            path: np.column_stack(
                [
                    energy[i],
                    bits[i] / 8192,
                    [stored[path] * parse_choice(c).bits / total for c in names],
                ]
            )
            for i, (path, names) in enumerate(costs.layers.items())
        }
        table = np.concatenate(
            [
                sum((rows[p] for p in d.layers), np.zeros((len(d.values), len(METRICS))))
                for d in self._space.dimensions
            ]
        )
        rest = np.array([costs.rest[0], costs.rest[1] / 8192, 0.0])
        rest += sum(rows[path][0] for path, _ in self._space.pinned)
        return torch.from_numpy(table), torch.from_numpy(rest)

    def end_epoch(self, epoch: int, mixture: Sequence[Tensor]) -> dict[str, Any]:
        """Measure the mixed network's firing rates; costs follow them from now on."""
        self._mix([g.detach() for g in mixture])
        self._use_rates(self._measure())
        return {"rates": {path: round(r.rate, 6) for path, r in self._rates.items()}}

    def _measure(self) -> dict[str, LayerRate]:
        count = len(self._held.labels)
        chosen = np.unique(np.linspace(0, count - 1, min(RATE_SAMPLES, count)).round().astype(int))
        frames = np.stack([self._held.frames[int(index)] for index in chosen])
        labels = torch.from_numpy(np.asarray(self._held.labels, np.int64)[chosen])
        with RateMeter(self._model, self._parent_costs.workload) as meter, torch.no_grad():
            batches = zip(plain_batches(frames, RATE_BATCH), labels.split(RATE_BATCH), strict=True)
            for batch, wanted in batches:
                inputs = self._to_float(batch.to(self._device))
                inputs, _ = self._task.prepare(inputs, wanted.to(self._device))
                self._run_unchanged(inputs)
        return meter.rates()

    def _use_rates(self, rates: dict[str, LayerRate]) -> None:
        parent = self._parent_costs
        workload = parent.workload.with_rates(rates)
        self._rates = rates
        self._table, self._rest = self._cost_tables(
            CostModel(workload, parent.profile, parent.layers)
        )

    # State

    def require_finite(self, when: str) -> None:
        """Weights, scales and running statistics of the mixed network."""
        require_finite(self._model, when)

    def state(self) -> dict[str, Tensor]:
        tensors = {f"model/{name}": t for name, t in self._model.state_dict().items()}
        for path, r in self._rates.items():
            values = [r.rate, r.activity, r.se]
            if r.rate_per_use is not None and r.activity_per_use is not None:
                values += [r.rate_per_use, r.activity_per_use]
            tensors[f"rates/{path}"] = torch.tensor(values, dtype=torch.float64)
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of :meth:`state`; in place, so that optimizers keep their parameters.

        Raises:
            RuntimeError: the state of another network.
        """
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "rates": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            parts[kind][rest] = tensor
        self._model.load_state_dict(parts["model"])
        if parts["rates"]:
            self._use_rates({path: LayerRate(*r.tolist()) for path, r in parts["rates"].items()})


def relaxation_of(part: Part, space: Space, batching: Batching) -> QatRelaxation:
    """The prepared parent of a structural part with mixed quantizers, for a supernet."""
    training, model, device = part.samples("train"), part.parent(), part.study.device
    return QatRelaxation(
        model,
        space,
        part.costs(space),
        training,
        batching,
        device,
        Goal(part.teacher(model), part.study.task, part.study.options.label_smoothing),
    )
