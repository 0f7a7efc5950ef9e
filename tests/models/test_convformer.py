"""The small network for pictures: every neuron, cost of a picture, values that cannot be."""

from __future__ import annotations

import pytest
import torch

from hqsearch.errors import DefinitionError
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, weight_layers

SMALL = {"widths": [8, 8, 16], "depth": 1, "heads": 2}
PICTURE = {"timesteps": 1, "size": 16, "classes": 5, "in_channels": 3}


def test_weights_of_the_study_s_size():
    options = {"widths": [16, 32, 64], "depth": 2, "heads": 4}
    model = build_model("convformer", options, **{**PICTURE, "size": 32, "classes": 10})
    layers = weight_layers(model)
    assert (len(layers), sum(layer.weights for layer in layers)) == (20, 168_496)


@pytest.mark.parametrize("neuron", ["lif", "integer", "integer-lif"])
@pytest.mark.parametrize("frames", [1, 3])
def test_pictures_once_and_every_timestep(neuron, frames):
    given = {**PICTURE, "timesteps": 3}
    model = build_model("convformer", {**SMALL, "neuron": neuron}, **given, seed=1).eval()
    picture = torch.randint(0, 256, (1, 2, 3, 16, 16)).float()
    out = model(picture.expand(frames, -1, -1, -1, -1))
    assert out.shape == (2, 5)
    torch.testing.assert_close(out, model(picture), rtol=1e-4, atol=1e-4)


def test_all_layers_but_the_first_read_spikes():
    model = build_model("convformer", SMALL, **PICTURE).eval()
    layers = trace_workload(model, torch.randint(0, 256, (1, 2, 3, 16, 16)).float(), 8).layers
    sources = [op.input_source for op in layers.values()]
    assert sources[0] == "frames"
    assert set(sources[1:]) == {"spikes"}


@pytest.mark.parametrize(
    "change, said",
    [
        ({"widths": [8, 8]}, "widths must be 3"),
        ({"widths": [8, 8, 0]}, "widths must be a whole number"),
        ({"heads": 3}, "not a multiple of heads 3"),
        ({"depth": "two"}, "depth must be a whole number"),
    ],
)
def test_values_that_cannot_be_built(change, said):
    with pytest.raises(DefinitionError, match=said):
        build_model("convformer", {**SMALL, **change}, **PICTURE)


def test_frames_of_another_shape_are_refused():
    model = build_model("convformer", SMALL, **PICTURE)
    with pytest.raises(ValueError, match="expected frames"):
        model(torch.zeros(2, 1, 3, 16, 16))
