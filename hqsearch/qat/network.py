"""What the untrained network of a structural part does: found before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from hqsearch.data.encoding import get_encoding
from hqsearch.errors import HqsearchError, PluginError
from hqsearch.hardware import Workload
from hqsearch.hardware.trace import trace_workload
from hqsearch.qat.structural_part import Part


def trace_untrained(part: Part, unknown: Literal["refuse", "real"] = "refuse") -> Workload:
    """Its workload, without firing rates; see ``trace_workload``.

    Raises:
        PluginError: the network does not run on frames ``[T, 1, C, H, W]`` of the study.
    """
    size = part.data.size
    frames = torch.zeros(part.data.timesteps, 1, part.data.channels, size, size)
    bits = get_encoding(part.data.encoding).bits
    try:
        model = part.build().to("meta")
        return trace_workload(model, frames.to("meta"), bits, unknown=unknown)
    except (RuntimeError, TypeError):  # a user's network may look at its values
        model = part.build()
    try:
        traced = trace_workload(model, frames, bits, unknown=unknown)
    except HqsearchError:
        raise
    except Exception as error:
        raise PluginError(
            f"{part.network} fails on frames {list(frames.shape)}: {type(error).__name__}: {error}"
        ) from error
    silent = (replace(op, rate=None, activity=None, rate_se=None) for op in traced.operations)
    return replace(traced, operations=tuple(silent))
