"""A dry run of a part's network: everything that a run does, on a handful of samples.

The network runs twice on the same frames, which shows its outputs and whether state is left from
one batch to the next, and is trained for a step with every choice that the space offers. Nothing
is kept. What goes wrong is told with what to do about it, all of it at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqsearch.data.looking import encoding_seen, few_frames, split_facts
from hqsearch.errors import HqsearchError
from hqsearch.evaluator import Inspection
from hqsearch.hardware import Operation, Workload
from hqsearch.models.adapters import neuron_facts
from hqsearch.models.adapters.declared import class_name
from hqsearch.models.recognition import looks_like_a_neuron
from hqsearch.problem.space import Space
from hqsearch.qat.costs_ahead import costs_ahead
from hqsearch.qat.network import some_frames
from hqsearch.qat.structural_part import Part
from hqsearch.qat.training_memory import training_memory
from hqsearch.quant import quantize_model
from hqsearch.schemes.choice import FP32
from hqsearch.training.task import checked_scores

#: Samples that everything is tried on.
SAMPLES = 3
#: Multiply-accumulates of forward passes that training a network of hqsearch's own is tried for:
#: about 3 s on one x86 core, by study ``gesture`` (7 choices, 3 samples of 26.4 million: 2.4 s).
TRIED_MACS = 0.7e9


def inspect_part(part: Part, space: Space, traced: Workload, *, deep: bool) -> Inspection:
    """Try a part's network; see the module's docstring.

    Args:
        traced: what the untrained network does.
        deep: costs and data, too, and training of networks that are known to work.
    """
    found = Inspection()
    frames = _frames(part)
    model = None
    with _told(found, part):
        model = part.build(deployed=False)
    if model is None:
        return found
    found.facts["network"] = {"input": list(frames.shape), "network": part.network}
    with _told(found, part):
        frames, target = part.study.task.prepare(frames, _labels(part, frames))
    if found.problems:
        return found
    _look_at_modules(found, part, model, traced)
    runs = not part.built_in or part.model.weights is not None
    sound = _try_forward(found, part, model, frames) if runs or deep else True
    if sound and (deep or not part.built_in):
        sound = _try_training(found, part, space, frames, target, _most_tried(part, traced))
    if deep:
        with _told(found, part):
            _look_at_data(found, part)
        with _told(found, part):
            found.facts["costs"] = costs_ahead(traced, part.study.profile, space)
        if sound:
            with _told(found, part):
                found.facts["memory"] = training_memory(part, _quantized(space), frames)
    return found


@contextmanager
def _told(found: Inspection, part: Part) -> Iterator[None]:
    """What goes wrong inside is a problem of the network, or says itself what it is."""
    try:
        yield
    except HqsearchError as error:
        _add(found.problems, str(error))
    except Exception as error:
        _add(found.problems, f"{part.network}: {type(error).__name__}: {error}")


def _add(lines: list[str], line: str) -> None:
    if line not in lines:
        lines.append(line)


def _frames(part: Part) -> Tensor:
    """``[T, N, C, H, W]``: real ones where a look is cheap."""
    prepared = part.prepared
    stored = None
    if prepared is not None:
        stored = np.asarray(part.samples("train").frames[:SAMPLES])
    else:
        try:
            stored = few_frames(part.data, SAMPLES, part.study.objects.frames)
        except HqsearchError:
            stored = None  # what is wrong with the data is told by whoever checks them
    if stored is None or not len(stored):
        return some_frames(part, SAMPLES)
    # Always a copy: with one frame a sample a view would share memory that is mapped read-only.
    batch = torch.from_numpy(np.array(stored.swapaxes(0, 1), order="C"))
    seen = encoding_seen(part.data, part.study.objects.frames) if prepared is None else None
    return part.as_seen(seen or part.frames.encoding)(batch)


def _look_at_modules(found: Inspection, part: Part, model: nn.Module, traced: Workload) -> None:
    neurons = {p: f for p, m in model.named_modules() if (f := neuron_facts(m)) is not None}
    found.facts["neurons"] = {path: str(facts) for path, facts in neurons.items()}
    found.facts["operations"] = dict(
        Counter(f"{_called(op)}, {op.input_kind}" for op in traced.operations)
    )
    for path, facts in neurons.items():
        if facts.source == "[model] neurons" and facts.reset == "unknown":
            found.notes.append(
                f"nothing says what a spike of {path} does to its potential, so it takes in no "
                "normalisation: [model] neurons = [{class = "
                f'"{class_name(type(model.get_submodule(path)))}", reset = "zero"'
                '}], or "value", "subtract" or "none"'
            )
    if part.idle_layers:
        listed = ", ".join(part.idle_layers)
        found.notes.append(
            f"the network's forward pass does not call {listed} as a layer: left out of the space"
        )
    for layer in part.layers:
        if layer.tied is not None:
            found.notes.append(f"{layer.path} shares its weight with {layer.tied}: one choice")
    inside = [
        layer.path
        for layer in part.layers
        if any(layer.path.startswith(f"{path}.") for path in neurons)
    ]
    if inside:
        found.notes.append(
            f"{', '.join(inside)} lie inside neurons: they are searched, their spikes are the "
            "neuron's own"
        )
    alike: dict[tuple[str, str], list[str]] = {}
    for path, module in model.named_modules():
        why = looks_like_a_neuron(module) if path else None
        if why is not None and not any(path.startswith(f"{p}.") for p in neurons):
            alike.setdefault((class_name(type(module)), why), []).append(path)
    for (name, why), paths in alike.items():
        found.notes.append(
            f"{name} ({', '.join(paths[:3])}) looks like a spiking neuron ({why}) and is none that "
            f'is known: its arithmetic is counted as it is. [model] neurons = ["{name}"] makes it '
            "one"
        )
    if part.model.weights is not None:
        for note in part.fill(part.build(deployed=False, filled=False)):
            found.notes.append(f"trained weights: {note}")
        drawn = part.splits_drawn()
        if drawn:
            found.notes.append(
                f"{' and '.join(drawn)} samples are drawn from train/ here: if your weights were "
                "trained on them, accuracies flatter; samples that they never saw belong into "
                f"{' and '.join(f'{name}/' for name in drawn)}"
            )


def _called(operation: Operation) -> str:
    """Its kind; a product of two activations, value by value, is no attention of a reader's."""
    each = operation.macs_per_step == operation.outputs
    return "product" if operation.kind == "attention" and each else operation.kind


def _try_forward(found: Inspection, part: Part, model: nn.Module, frames: Tensor) -> bool:
    """Twice on the same frames; whether training can be tried."""
    device = "cpu"
    before = len(found.problems)
    with _told(found, part), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model.to(device).eval()
        held = _held(model)
        try:
            first = model(frames)
        except Exception as error:
            raise part.failure(frames.shape, error) from error
        problem = part.study.task.refused(first, frames.shape[1], part.classes)
        if problem:
            _add(found.problems, f"{part.network} {problem}")
            return False
        found.facts["network"]["output"] = list(first.shape)
        if not bool(torch.isfinite(first).all()):
            found.problems.append(
                f"{part.network} gives NaN or infinity before any training: look at its "
                "initialisation, or at the weights that it starts from"
            )
        left = [f"{path} ({name})" for path, name in _changed(held, _held(model))]
        torch.manual_seed(0)
        again = model(frames)
        if not torch.equal(first.nan_to_num(), again.nan_to_num()):
            where = ", ".join(left[:4]) or "something in it"
            found.problems.append(
                f"{part.network} answers differently when it sees the same frames twice: {where} "
                "keeps state from one batch to the next. Reset it at the start of forward, or give "
                'the neuron a method reset() and name its class in [model] neurons = ["file.Class"]'
            )
    return len(found.problems) == before


def _held(model: nn.Module) -> dict[tuple[str, str], Tensor]:
    """Every tensor that a module holds and that is no parameter."""
    held = {}
    for path, module in model.named_modules():
        for name, value in (*vars(module).items(), *module._buffers.items()):
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                held[path or "the network", name] = value.detach().clone()
    return held


def _changed(
    before: dict[tuple[str, str], Tensor], after: dict[tuple[str, str], Tensor]
) -> list[tuple[str, str]]:
    return [
        key
        for key, value in after.items()
        if key not in before
        or before[key].shape != value.shape
        or not torch.equal(before[key], value)
    ]


def _most_tried(part: Part, traced: Workload) -> int | None:
    """How many choices a training is tried with; None: all, as for every network of a user's."""
    if not part.built_in:
        return None
    macs = SAMPLES * sum(operation.macs for operation in traced.operations)
    return max(1, int(TRIED_MACS / max(macs, 1)))


def _labels(part: Part, frames: Tensor) -> Tensor:
    return torch.arange(frames.shape[1]) % part.classes


def _quantized(space: Space) -> dict[str, str]:
    """Every layer with the first choice that quantizes it, if it has one."""
    taken = dict(space.pinned)
    for dimension in space.dimensions:
        if dimension.kind == "weights":
            choice = next((v for v in dimension.values if v != FP32), FP32)
            taken.update(dict.fromkeys(dimension.layers, choice))
    return taken


def _try_training(
    found: Inspection, part: Part, space: Space, frames: Tensor, target: Any, most: int | None
) -> bool:
    """A step with every choice, and one on a batch as small as the last of an epoch.

    Args:
        most: choices that are tried, fp32 first; None: all.

    Returns:
        Whether all of them went well.
    """
    before = len(found.problems)
    choices = dict.fromkeys(v for d in space.dimensions if d.kind == "weights" for v in d.values)
    ordered = [FP32, *(c for c in choices if c != FP32)]
    if ordered[:most] != ordered:
        found.notes.append(
            f"one training step was tried with {', '.join(ordered[:most])} alone: all "
            f"{len(ordered)} would take long, and {part.network} is known to train with them"
        )
    for choice in ordered[:most]:
        taken = {path: choice for d in space.dimensions if choice in d.values for path in d.layers}
        try:
            _step(part, taken, frames, target)
        except HqsearchError as error:
            _add(found.problems, str(error))
        except Exception as error:
            _add(
                found.problems,
                f"{part.network} does not train with {choice}: {type(error).__name__}: {error}",
            )
            if choice == FP32:
                return False  # the others fail alike
    if _last_batch(part) == 1:
        try:
            one = frames[:, :1]
            _step(part, {}, *part.study.task.prepare(one, _labels(part, one)))
        except Exception as error:
            size, samples = part.study.options.batch_size, part.data_outlook().samples["train"]
            found.problems.append(
                f"{samples} training samples in batches of {size} leave a last batch of one, which "
                f"{part.network} cannot train on ({error}): another [evaluation] batch_size"
            )
    return len(found.problems) == before


def _last_batch(part: Part) -> int:
    options = part.study.options
    if not options.parent_epochs and not options.epochs:
        return 0
    try:
        samples = part.data_outlook().samples["train"]
    except HqsearchError:
        return 0
    return samples % options.batch_size


def _step(part: Part, choices: dict[str, str], frames: Tensor, target: Any) -> None:
    """One training and one validation step on a new network.

    Raises:
        FloatingPointError: the loss or an output is no number.
    """
    # Values of a built-in network's weights change nothing of how it trains.
    model = part.build(filled=not part.built_in)
    quantize_model(model, choices)
    task = part.study.task
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        value = task.loss(model(frames), target, part.study.options.label_smoothing)
        if not math.isfinite(value.item()):
            raise FloatingPointError(f"the training loss is {value.item()}")
        optimizer.zero_grad(set_to_none=True)
        if not value.requires_grad:
            raise ValueError(
                "no gradient comes out of it: a neuron needs a surrogate gradient, and nothing may "
                "be detached on the way"
            )
        value.backward()
        optimizer.step()
        with torch.no_grad():
            output = model.eval()(frames)
        if not bool(torch.isfinite(output).all()):
            raise FloatingPointError("after one step its output is not finite")
        checked_scores(task.scores(output.double(), target), frames.shape[1], task)


def _look_at_data(found: Inspection, part: Part) -> None:
    facts: Any = split_facts(part.data, part.study.objects.frames)
    if facts is None:
        return
    found.facts["samples"] = facts.samples
    if facts.summary:
        found.facts["recordings"] = facts.summary
    found.notes += facts.notes
