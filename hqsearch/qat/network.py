"""What the untrained network of a structural part does: found before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from hqsearch.data.encoding import encoding_of
from hqsearch.errors import HqsearchError
from hqsearch.hardware import Workload
from hqsearch.hardware.trace import trace_workload
from hqsearch.qat.structural_part import Part


def trace_untrained(part: Part, unknown: Literal["refuse", "real"] = "refuse") -> Workload:
    """Its workload, without firing rates; see ``trace_workload``.

    Raises:
        PluginError: the network does not run on frames ``[T, 1, C, H, W]`` of the study.
    """
    bits, steps = encoding_of(part.data).traced_as, part.data.timesteps
    if part.built_in:
        frames = torch.zeros(part.batch_shape(1), device="meta")
        model = part.build(filled=False)
        return trace_workload(model.to("meta"), frames, bits, unknown=unknown, timesteps=steps)
    # What a user's neurons emit shows only where there are values.
    frames = some_frames(part, 1)
    try:
        traced = trace_workload(part.build(), frames, bits, unknown=unknown, timesteps=steps)
    except HqsearchError:
        raise
    except Exception as error:
        raise part.failure(frames.shape, error) from error
    silent = (
        replace(
            op, rate=None, activity=None, rate_se=None, rate_per_use=None, activity_per_use=None
        )
        for op in traced.operations
    )
    return replace(traced, operations=tuple(silent))


def some_frames(part: Part, samples: int, seed: int = 0) -> Tensor:
    """Made-up frames ``[T, N, C, H, W]`` as the network sees them, a third of them not empty."""
    generator = torch.Generator().manual_seed(seed)
    encoding = encoding_of(part.data)
    shape = part.batch_shape(samples)
    top = 2 ** (encoding.bits or 4)
    values = torch.randint(0, top, shape, generator=generator, dtype=torch.uint8)
    kept = torch.rand(shape, generator=generator) < 1 / 3
    return encoding.to_float(values * kept)
