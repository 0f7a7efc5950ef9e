"""Networks by name, or from a user's file.

>>> model = build_model("spikformer", {"embed_dim": 32, "depth": 1, "heads": 2,
...                     "pooled_stages": 3}, timesteps=2, size=16, classes=3)
>>> [layer.path for layer in weight_layers(model)][:2]
['tokenizer.conv1', 'tokenizer.conv2']
"""

from __future__ import annotations

from hqsearch.models.given import GivenModel, file_reference
from hqsearch.models.layers import WeightLayer, weight_layers
from hqsearch.models.registry import MODELS, build_model, deploy

__all__ = [
    "MODELS",
    "GivenModel",
    "WeightLayer",
    "build_model",
    "deploy",
    "file_reference",
    "weight_layers",
]
