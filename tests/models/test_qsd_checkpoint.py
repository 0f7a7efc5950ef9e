"""Published keys: a state with the names of the public code, fabricated, loads; others do not."""

from __future__ import annotations

import argparse

import pytest
import torch

from hqsearch.errors import DefinitionError
from hqsearch.models import build_model, weight_layers
from hqsearch.models.qsd_checkpoint import from_published
from hqsearch.models.weights import fill_network, rename_of
from hqsearch.quant import quantize_model
from hqsearch.quant.modules import quantizer_of
from hqsearch.quant.steps import set_steps

TINY = {"embed_dims": [8, 8, 16, 24], "depth": 4, "heads": 2}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def build(**options):
    given = {**TINY, **options}
    return build_model("qsd", given, timesteps=1, size=32, classes=5, in_channels=3, seed=1)


def fabricated(quantized: bool = True) -> dict[str, torch.Tensor]:
    """Names and shapes by the public code's own structure, written out independently."""
    state: dict[str, torch.Tensor] = {}
    torch.manual_seed(0)

    def layer(path: str, *shape: int, bias: bool = False) -> None:
        state[f"{path}.weight"] = torch.randn(*shape)
        if bias:
            state[f"{path}.bias"] = torch.randn(shape[0])
        if quantized:
            state[f"{path}.alpha"] = torch.rand(shape[0]) + 0.01
            state[f"{path}.init_state"] = torch.ones(1)
            state[f"{path}.act.alpha"] = torch.zeros(shape[1])
            state[f"{path}.act.zero_point"] = torch.zeros(shape[1])
            state[f"{path}.act.signed"] = torch.zeros(1)

    def norm(path: str, channels: int) -> None:
        for name in NORM:
            count = name == "num_batches_tracked"
            state[f"{path}.{name}"] = torch.tensor(3) if count else torch.rand(channels) + 0.5

    def down(number: str, inputs: int, outputs: int, kernel: int = 3) -> None:
        path = f"downsample{number}"
        layer(f"{path}.encode_conv", outputs, inputs, kernel, kernel, bias=True)
        norm(f"{path}.encode_bn", outputs)

    def conv_block(number: str, c: int) -> None:
        path = f"ConvBlock{number}.0"
        layer(f"{path}.Conv.pwconv1", 2 * c, c, 1, 1)
        norm(f"{path}.Conv.bn1", 2 * c)
        layer(f"{path}.Conv.dwconv", 2 * c, 1, 7, 7)
        layer(f"{path}.Conv.pwconv2", c, 2 * c, 1, 1)
        norm(f"{path}.Conv.bn2", c)
        layer(f"{path}.conv1", 4 * c, c, 3, 3)
        norm(f"{path}.bn1", 4 * c)
        layer(f"{path}.conv2", c, 4 * c, 3, 3)
        norm(f"{path}.bn2", c)

    def block(path: str, c: int) -> None:
        for name in ("q_conv", "k_conv", "v_conv", "proj_conv"):
            layer(f"{path}.attn.{name}.0.body.0", c, c, 1, 1)
            norm(f"{path}.attn.{name}.0.body.1.bn", c)
            layer(f"{path}.attn.{name}.0.body.2.0", c, 1, 3, 3)
            layer(f"{path}.attn.{name}.0.body.2.1", c, c, 1, 1)
            norm(f"{path}.attn.{name}.0.body.2.2", c)
            norm(f"{path}.attn.{name}.1", c)
        layer(f"{path}.mlp.fc1_conv", 4 * c, c, 1, bias=True)
        norm(f"{path}.mlp.fc1_bn", 4 * c)
        layer(f"{path}.mlp.fc2_conv", c, 4 * c, 1, bias=True)
        norm(f"{path}.mlp.fc2_bn", c)
        state[f"{path}.layer_scale1"] = torch.rand(c, 1, 1)
        state[f"{path}.layer_scale2"] = torch.rand(c)

    down("1_1", 3, 4, kernel=7)
    conv_block("1_1", 4)
    down("1_2", 4, 8)
    conv_block("1_2", 8)
    down("2", 8, 8)
    conv_block("2_1", 8)
    conv_block("2_2", 8)
    down("3", 8, 16)
    for index in range(3):
        block(f"block3.{index}", 16)
    down("4", 16, 24)
    block("block4.0", 24)
    layer("head", 5, 24, bias=True)
    return state


def test_a_quantized_state_loads_with_its_steps():
    state, model = fabricated(), build()
    found = from_published(state, model)
    model.load_state_dict(found.weights)
    paths = [layer.path for layer in weight_layers(model)]
    assert sorted(found.steps) == sorted(paths)
    mine = dict(model.state_dict())
    pairs = {
        "blocks3.2.attention.k.norm1.running_var": "block3.2.attn.k_conv.0.body.1.bn.running_var",
        "blocks4.0.attention.proj_norm.weight": "block4.0.attn.proj_conv.1.weight",
        "conv2_1.separable.reduce.weight": "ConvBlock2_1.0.Conv.pwconv2.weight",
        "conv1_2.norm2.bias": "ConvBlock1_2.0.bn2.bias",
        "down1.conv.bias": "downsample1_2.encode_conv.bias",
        "stem.norm.running_mean": "downsample1_1.encode_bn.running_mean",
        "head.bias": "head.bias",
    }
    for ours, theirs in pairs.items():
        assert torch.equal(mine[ours], state[theirs]), ours
    pointwise = state["block3.0.mlp.fc1_conv.weight"]
    assert torch.equal(mine["blocks3.0.mlp.fc1.weight"], pointwise[..., None])
    assert torch.equal(mine["blocks3.1.attention_scale"], state["block3.1.layer_scale1"].flatten())
    quantize_model(model, dict.fromkeys(paths, "4u"))
    set_steps(model, found.steps)
    quantizer = quantizer_of(model.get_submodule("blocks3.1.attention.q.point2"))
    assert torch.equal(quantizer.scale(), state["block3.1.attn.q_conv.0.body.2.1.alpha"])
    assert model(torch.rand(1, 2, 3, 32, 32)).isfinite().all()


def test_an_fp32_state_without_layer_scales_loads():
    state = {k: v for k, v in fabricated(quantized=False).items() if "layer_scale" not in k}
    model = build()
    found = from_published(state, model)
    model.load_state_dict(found.weights)
    assert found.steps == {}
    assert bool((model.blocks3[0].mlp_scale == 1).all())


@pytest.mark.parametrize(
    "change, text",
    [
        ({"block3.0.attn.x_conv.0.body.0.weight": torch.zeros(1)}, r"'block3.0.attn.x_conv.0.body"),
        ({"head.weight": torch.zeros(7, 24)}, r"'head.weight' is \[7, 24\].*another size"),
        ({"head.alpha": torch.zeros(5)}, "'head.alpha' holds a step size that was never"),
        ({"head.alpha": torch.ones(3)}, "'head.alpha' has 3 step sizes"),
        ({"head.weight": None}, "lacks 1 tensors of this network, first 'head.weight'"),
    ],
)
def test_what_does_not_fit_is_named(change, text):
    state = {k: v for k, v in {**fabricated(), **change}.items() if v is not None}
    with pytest.raises(DefinitionError, match=text):
        from_published(state, build())


def test_a_folded_network_takes_none():
    with pytest.raises(DefinitionError, match="fold = false"):
        from_published(fabricated(), build(fold=True))


def test_a_file_of_weights_is_renamed_by_name(tmp_path):
    """What ``[model] weights`` and ``rename = "public-qsd"`` do."""
    file = tmp_path / "15M.pth"
    state = fabricated()
    torch.save({"model": state, "epoch": 299, "args": argparse.Namespace(depth=8)}, file)
    model = build()
    fill_network(model, file, rename_of("public-qsd"))
    expected = from_published(state, model).weights
    for name, value in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, expected[name]), name
