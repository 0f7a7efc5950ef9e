"""Read a workload from a running network.

>>> import torch
>>> from hqsearch.models.neurons import LIF
>>> model = torch.nn.Sequential(torch.nn.Linear(6, 4), LIF(), torch.nn.Linear(4, 2))
>>> workload = trace_workload(model, torch.zeros(8, 1, 6), input_bits=4)
>>> [(op.path, op.kind, op.macs) for op in workload.operations]
[('0', 'weight', 192), ('1', 'neuron', 0), ('2', 'weight', 64)]
"""

from __future__ import annotations

from hqsearch.hardware.trace.tracer import trace_workload

__all__ = ["trace_workload"]
