"""Scales that were learned elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqsearch.errors import UnknownName
from hqsearch.quant import quantize_model
from hqsearch.quant.modules import quantizer_of
from hqsearch.quant.steps import set_steps


def test_scales_are_taken_over():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    quantize_model(model, {"0": "4u"})
    steps = torch.tensor([0.1, 0.2, 0.3, 0.4])
    set_steps(model, {"0": steps})
    torch.testing.assert_close(quantizer_of(model[0]).scale(), steps)
    levels = model[0].weight / steps[:, None]
    torch.testing.assert_close(levels, levels.round())
    for wrong in (torch.ones(3), torch.tensor([0.1, 0.0, 0.1, 0.1])):
        with pytest.raises(ValueError, match="0 needs 4 positive scales"):
            set_steps(model, {"0": wrong})
    with pytest.raises(UnknownName, match="quantized layer"):
        set_steps(model, {"1": torch.ones(2)})
