"""Bi-level training of a supernet: weights on one part of the data, logits on another.

Alternating and first order (DARTS, Liu et al. 2019, arXiv 1806.09055): a weight step on the
training part at a sampled mixture, then a logit step on the held-out part with the weights as
they are. Logits are frozen while the weights warm up. Everything random comes from (seed, epoch,
step), and every epoch leaves a checkpoint, so that a training that was killed goes on and ends
bit for bit as if it had not been. A reconstruction: SpikeHQ's schedule is not published.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqsearch.atomic import write_atomically
from hqsearch.definition import validate
from hqsearch.errors import RunFailed, UnknownName
from hqsearch.evaluator import Evaluator
from hqsearch.evaluator.tasks import DerivedCandidate, SupernetResult, SupernetTask
from hqsearch.supernet.derive import Derived, derive
from hqsearch.supernet.gumbel_softmax import Temperature, probabilities, sample, seeded
from hqsearch.supernet.options import SupernetOptions
from hqsearch.supernet.relaxation import Relaxation
from hqsearch.supernet.targets import Gains, Target
from hqsearch.training.finite import require_finite_tensors
from hqsearch.training.loop import Schedule, learning_rate
from hqsearch.training.memory import keep_freed_memory
from hqsearch.training.state import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)

#: Part of the search after which the logits' learning rate falls, linearly, and to what part of it.
SETTLING, SETTLED = 0.5, 0.05
#: Logits stay within ± this of their dimension's mean: a choice once given up can come back.
REACH = 8.0
HISTORY = "history.json"


def run_supernet(
    relaxation: Relaxation,
    task: SupernetTask,
    seed: int,
    folder: Path,
    evaluator: Evaluator,
) -> SupernetResult:
    """Train a supernet and derive candidates from it; what an evaluator's task returns.

    Args:
        relaxation: of the evaluator, in the structural part that the task names. Structural
            dimensions are among its dimensions, with one choice each.
        task: its options are those of a :class:`SupernetOptions`.
        seed: of sampling.
        folder: gets ``checkpoint.json`` with its tensors and ``progress.json`` after every epoch,
            and ``history.json`` at the end. A training that was cut off there goes on.
        evaluator: whose exact costs bound the candidates.

    Returns:
        The candidates and what they were derived from; after an attempt that was cut off,
        ``earlier`` holds the ``seconds`` and ``cpu_seconds`` of the epochs that it saved.

    Raises:
        DefinitionError: options that cannot be used.
        UnknownName: a target on what is no cost of the relaxation, or a structural part that the
            space does not have.
        ValueError: no candidate meets the target; nothing was trained.
        FloatingPointError: a loss is NaN or infinite, or after an epoch (before its checkpoint)
            a weight, scale, running statistic or logit; named.
        RunFailed: the checkpoint is damaged, or of another training.
        DiskFull: a checkpoint cannot be written.
    """
    options = validate(SupernetOptions, task.to_json(), "the supernet's payload")
    if options.structure not in evaluator.space.parts:
        raise UnknownName("structural part", options.structure, evaluator.space.parts)
    space, reference = evaluator.space.parts[options.structure], evaluator.reference()
    for name in (*options.target, *options.beta):
        if name not in relaxation.metrics:
            raise UnknownName("cost", name, relaxation.metrics, "the supernet's target")
    limits = {name: share * reference[name] for name, share in options.target.items()}
    for name, limit in options.budgets.items():
        limits[name] = min(limit, limits.get(name, math.inf))

    def derived(table: list[list[float]], count: int) -> list[Derived]:
        costs = evaluator.cheap, evaluator.metrics
        return derive(table, space, *costs, limits, count, evaluator.overflows())

    even = [[1.0 / n] * n for n in relaxation.choices]
    if not derived(even, 1):
        text = ", ".join(f"{name} <= {limit:.4g}" for name, limit in limits.items())
        raise ValueError(f"no candidate meets {text}")
    shares = {n: v / reference[n] for n, v in limits.items() if n in relaxation.metrics}
    training = SupernetTraining(relaxation, options, shares, seed)
    training.run(folder)
    table = [p.tolist() for p in training.probabilities()]
    names = [(d.name, d.values) for d in space.dimensions]
    history = json.dumps(
        {
            "dimensions": dict(names),
            "metrics": relaxation.metrics,
            "target": shares,
            "beta": options.beta,
            "epochs": training.history,
        }
    )
    write_atomically(folder / HISTORY, history)
    return SupernetResult(
        candidates=tuple(
            DerivedCandidate(
                key=d.candidate.key, log_likelihood=d.log_likelihood, costs=dict(d.costs)
            )
            for d in derived(table, options.top)
        ),
        probabilities={
            name: dict(zip(values, row, strict=True))
            for (name, values), row in zip(names, table, strict=True)
        },
        expected=training.expected(),
        limits=limits,
        multipliers=dict(training.target.multipliers),
        epochs=options.epochs,
        history={"file": HISTORY, "sha256": hashlib.sha256(history.encode()).hexdigest()},
        earlier=training.earlier if training.earlier["seconds"] else None,
    )


class SupernetTraining:
    """The loop and its state.

    Args:
        relaxation: what is trained.
        options: how.
        limits: metric → fraction of fp32 that its expected cost is brought under.
        seed: of the samples.
    """

    def __init__(
        self,
        relaxation: Relaxation,
        options: SupernetOptions,
        limits: Mapping[str, float],
        seed: int,
    ) -> None:
        self.relaxation, self.options, self.seed = relaxation, options, seed
        self.limits = dict(limits)
        self.target = Target(relaxation.metrics, limits, options.beta, Gains(*options.gains))
        self.temperature = Temperature(*options.temperature, options.schedule)
        self.logits = torch.zeros(sum(relaxation.choices), requires_grad=True)
        self.parameters = relaxation.named_parameters()
        self.history: list[dict[str, Any]] = []
        self.earlier = {"seconds": 0.0, "cpu_seconds": 0.0}
        """Spent by attempts that were cut off, up to the checkpoint that this one goes on from."""
        self._began = time.monotonic(), time.process_time()
        self._schedule = Schedule(options.epochs, options.learning_rate)
        self._logit_optimizer = torch.optim.Adam(
            [self.logits], lr=options.logit_learning_rate, betas=(0.9, 0.99)
        )
        self._weight_optimizer = self._make_weight_optimizer()
        self._steps = relaxation.weight_steps()

    def run(self, folder: Path) -> None:
        """Train to the last epoch, from the folder's checkpoint where there is one."""
        keep_freed_memory()
        self._resume(folder)
        for epoch in range(len(self.history), self.options.epochs):
            with torch.random.fork_rng():
                # A network may draw in its forward pass (dropout): from (seed, epoch) alone.
                state = np.random.SeedSequence([self.seed, epoch]).generate_state(1)
                torch.manual_seed(int(state[0]))
                self.history.append(self._epoch(epoch))
            when = f"after epoch {epoch + 1} of the supernet"
            self.relaxation.require_finite(when)
            require_finite_tensors({"logits": self.logits}, when)
            self._save(folder)
            progress = {"done": epoch + 1, "total": self.options.epochs}
            write_atomically(folder / "progress.json", json.dumps(progress))

    def probabilities(self) -> list[Tensor]:
        """The present selection probabilities per dimension, detached."""
        return [p.detach() for p in probabilities(self.logits, self.relaxation.choices)]

    def expected(self) -> dict[str, float]:
        """Expected costs under the present probabilities, as fractions of fp32."""
        with torch.no_grad():
            costs = self.relaxation.costs(self.probabilities())
        return dict(zip(self.relaxation.metrics, costs.tolist(), strict=True))

    def weight_step(self, epoch: int, step: int, batch: Any, temperature: float) -> float:
        """One step of the weights at a sampled mixture; returns the loss."""
        mixture = self._sample(temperature, epoch, step, 0)
        loss = self.relaxation.loss([g.detach() for g in mixture], batch, "weights")
        value = _finite(loss, epoch, "weight")
        optimizer = self._weight_optimizer
        if optimizer is not None:
            total = self.options.epochs * self._steps
            rate = learning_rate(epoch * self._steps + step, total, self._schedule)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.options.clip)
            optimizer.step()
        return value

    def logit_step(self, epoch: int, step: int, batch: Any, temperature: float) -> float:
        """One step of the logits with the weights as they are; returns the loss."""
        value, gradient = self.loss_gradient(epoch, step, batch, temperature)
        costs = self.relaxation.costs(probabilities(self.logits, self.relaxation.choices))
        direction = self.target.direction(gradient, costs, self.logits)
        norm = float(direction.norm())
        self.logits.grad = direction * min(1.0, self.options.clip / max(norm, 1e-12))
        settling = max(0.0, self._progress(epoch, step) - SETTLING) / (1.0 - SETTLING)
        for group in self._logit_optimizer.param_groups:
            group["lr"] = self.options.logit_learning_rate * (1.0 - (1.0 - SETTLED) * settling)
        self._logit_optimizer.step()
        with torch.no_grad():
            for part in torch.split(self.logits, list(self.relaxation.choices)):
                part.sub_(part.mean()).clamp_(-REACH, REACH)
        return value

    def loss_gradient(
        self, epoch: int, step: int, batch: Any, temperature: float
    ) -> tuple[float, Tensor]:
        """The loss on a held-out batch, and its gradient with the penalty's, first order."""
        mixture = self._sample(temperature, epoch, step, 1)
        loss = self.relaxation.loss(mixture, batch, "logits")
        value = _finite(loss, epoch, "logit")
        objective = loss + self.target.penalty(self.relaxation.costs(mixture))
        # Of the logits alone: weights get no gradient from the held-out part.
        (gradient,) = torch.autograd.grad(objective, self.logits)
        return value, gradient

    def _epoch(self, epoch: int) -> dict[str, Any]:
        options = self.options
        frozen = epoch < options.warmup
        held_out = _cycled(self.relaxation, epoch)
        weight_losses, logit_losses = [], []
        temperature = self.temperature.at(self._progress(epoch, 0))
        for step, batch in enumerate(self.relaxation.weight_batches(epoch)):
            temperature = self.temperature.at(self._progress(epoch, step))
            weight_losses.append(self.weight_step(epoch, step, batch, temperature))
            if not frozen and (step + 1) % options.weight_steps == 0:
                logit_losses.append(self.logit_step(epoch, step, next(held_out), temperature))
        table = self.probabilities()
        facts = self.relaxation.end_epoch(epoch, table)
        return {
            "epoch": epoch + 1,
            "temperature": temperature,
            "weight_loss": _mean(weight_losses),
            "logit_loss": _mean(logit_losses),
            "expected": self.expected(),
            "multipliers": self.target.multipliers,
            "probabilities": [p.tolist() for p in table],
            **facts,
        }

    def _progress(self, epoch: int, step: int) -> float:
        """How much of the epochs in which logits learn is done, 0 to 1."""
        searched = max(self.options.epochs - self.options.warmup, 1)
        done = epoch - self.options.warmup + step / max(self._steps, 1)
        return min(max(done / searched, 0.0), 1.0)

    def _sample(self, temperature: float, *index: int) -> list[Tensor]:
        generator = seeded(self.seed, *index)
        choices, hard = self.relaxation.choices, self.options.hard
        return sample(self.logits, choices, temperature, hard, generator)

    def _make_weight_optimizer(self) -> torch.optim.AdamW | None:
        if not self.parameters:
            return None
        spared = self.relaxation.no_decay()
        decayed = [p for name, p in self.parameters.items() if name not in spared]
        others = [p for name, p in self.parameters.items() if name in spared]
        groups = [
            {"params": decayed, "weight_decay": self.options.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(
            [g for g in groups if g["params"]], lr=self.options.learning_rate, fused=True
        )

    # State on disk

    def _identity(self) -> dict[str, Any]:
        return {
            "options": self._options(),
            "limits": self.limits,
            "seed": self.seed,
            "choices": list(self.relaxation.choices),
        }

    def _options(self) -> dict[str, Any]:
        # A checkpoint of a version without structural parts says nothing of them.
        spared = set() if self.options.structure else {"structure"}
        return self.options.model_dump(mode="json", exclude=spared)

    def _names(self) -> tuple[dict[Tensor, str], dict[Tensor, str]]:
        weights = {p: f"weights/{name}" for name, p in self.parameters.items()}
        return weights, {self.logits: "logits"}

    def _save(self, folder: Path) -> None:
        weights, logits = self._names()
        tensors = {f"relaxation/{name}": t for name, t in self.relaxation.state().items()}
        tensors["logits"] = self.logits
        tensors |= optimizer_tensors(self._logit_optimizer, logits)
        if self._weight_optimizer is not None:
            tensors |= optimizer_tensors(self._weight_optimizer, weights)
        about = {
            "epoch": len(self.history),
            "training": self._identity(),
            "target": self.target.state(),
            "history": self.history,
            "spent": self._spent(),
        }
        save_checkpoint(folder, tensors, about)

    def _spent(self) -> dict[str, float]:
        now = time.monotonic(), time.process_time()
        return {
            name: round(before + end - began, 3)
            for (name, before), end, began in zip(
                self.earlier.items(), now, self._began, strict=True
            )
        }

    def _resume(self, folder: Path) -> None:
        found = load_checkpoint(folder)
        if found is None:
            return
        tensors, about = found
        try:
            if about["training"] != json.loads(json.dumps(self._identity())):
                raise RunFailed(f"the checkpoint in {folder} belongs to another supernet.")
            weights, logits = self._names()
            for optimizer, names in (
                (self._logit_optimizer, logits),
                (self._weight_optimizer, weights),
            ):
                own = tuple(f"optimizer/{name}/" for name in names.values())
                if optimizer is not None:
                    mine = {k: v for k, v in tensors.items() if k.startswith(own)}
                    restore_optimizer(optimizer, names, mine)
            start = len("relaxation/")
            self.relaxation.load_state(
                {k[start:]: v for k, v in tensors.items() if k.startswith("relaxation/")}
            )
            with torch.no_grad():
                self.logits.copy_(tensors["logits"])
            self.target.load_state(about["target"])
            self.history = list(about["history"])
            self.earlier = dict(about.get("spent", self.earlier))
        except (KeyError, TypeError, RuntimeError) as error:
            raise RunFailed(f"the checkpoint in {folder} cannot be used: {error}") from error


def _cycled(relaxation: Relaxation, epoch: int) -> Iterator[Any]:
    while True:
        empty = True
        for batch in relaxation.logit_batches(epoch):
            empty = False
            yield batch
        if empty:
            raise ValueError("the held-out part is empty; raise held_out")


def _finite(loss: Tensor, epoch: int, kind: str) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss of a {kind} step is {value} in epoch {epoch + 1}; "
            "a lower learning_rate may help."
        )
    return value


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
