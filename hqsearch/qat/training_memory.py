"""What a training will hold in memory at least, counted on a handful of samples.

Parameters, their gradients and what the optimizer keeps of each are known; what a step keeps for
its backward pass is counted tensor by tensor for two numbers of samples, which tells what grows
with the batch from what does not. Working memory of single operations, frames and the libraries
come on top.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model

#: Tensors of a parameter's size that an optimizer keeps.
_KEPT = {"adamw": 2, "adam": 2, "sgd": 1}


def training_memory(part: Part, choices: dict[str, str], frames: Tensor) -> dict[str, int]:
    """Bytes that training a candidate holds, by what they are.

    Args:
        choices: of the candidate, by layer.
        frames: the network's input ``[T, N, C, H, W]``, N at least 2.

    Returns:
        ``parameters``, ``gradients``, ``optimizer``, ``activations`` (of a whole batch),
        ``teacher`` (its parameters, where candidates learn of one) and ``total``.
    """
    options = part.study.options
    model = part.build(filled=False)
    quantize_model(model, choices)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        many, few = _kept(model, frames), _kept(model, frames[:, :-1])
    each = max(many - few, 0)
    constant = max(many - each * frames.shape[1], 0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    size = sum(p.numel() * p.element_size() for p in parameters)
    every = sum(p.numel() * p.element_size() for p in model.parameters())
    told = {
        "parameters": every,
        "gradients": size,
        "optimizer": _KEPT[options.optimizer] * size,
        "activations": constant + each * options.batch_size,
        "teacher": every if options.distillation != "none" else 0,
    }
    return {**told, "total": sum(told.values())}


def _kept(model: nn.Module, frames: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held: dict[int, Any] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(frames)
    del output
    return sum(storage.nbytes() for storage in held.values())
