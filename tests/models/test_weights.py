"""Trained weights from files: what people save, and every way in which it does not fit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.models import build_model
from hqsearch.models.weights import (
    NAMED,
    content_identity,
    fill_network,
    read_weights,
    rename_of,
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))


def trained() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {k: torch.randn_like(v.float()).to(v.dtype) for k, v in network().state_dict().items()}


def equal(model: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    "around",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 7},
        lambda s: {"model": s, "args": argparse.Namespace(lr=1e-3, data="x")},
        lambda s: {"model_state_dict": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    ],
)
def test_what_people_save_is_read(around: Any, tmp_path: Path) -> None:
    torch.save(around(trained()), tmp_path / "w.pt")
    model = network()
    assert fill_network(model, tmp_path / "w.pt") == []
    assert equal(model, trained())


def test_safetensors_and_other_types(tmp_path: Path) -> None:
    save_file(trained(), tmp_path / "w.safetensors")
    model = network()
    assert fill_network(model, tmp_path / "w.safetensors") == []
    assert equal(model, trained())
    half = {k: v.half() if v.is_floating_point() else v for k, v in trained().items()}
    torch.save(half, tmp_path / "half.pt")
    assert fill_network(model, tmp_path / "half.pt") == [
        "torch.float16 in the file, torch.float32 in the network"
    ]
    assert torch.equal(model[3].weight, half["3.weight"].float())


def test_every_key_that_does_not_fit_is_named(tmp_path: Path) -> None:
    state = trained()
    state["3.wieght"] = state.pop("3.weight")
    state["0.weight"] = torch.zeros(3, 2, 5, 5)
    state["1.bias"] = torch.zeros(3, dtype=torch.int32)
    torch.save(state, tmp_path / "w.pt")
    before = {k: v.clone() for k, v in network().state_dict().items()}
    model = network()
    with pytest.raises(DefinitionError) as raised:
        fill_network(model, tmp_path / "w.pt")
    said = str(raised.value)
    assert "missing '3.weight' (nearest: '3.wieght')" in said
    assert "unexpected '3.wieght' (nearest: '3.weight')" in said
    assert "'0.weight' is [3, 2, 5, 5], the network has [3, 2, 3, 3]" in said
    assert "'1.bias' holds torch.int32" in said
    assert equal(model, before)  # nothing of it was taken
    pairs = rename_of([["wieght", "weight"]])
    with pytest.raises(DefinitionError) as raised:
        fill_network(model, tmp_path / "w.pt", pairs)
    assert "3.w" not in str(raised.value)


def test_two_keys_for_one_are_refused(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(1), "b.weight": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(DefinitionError, match=r"'c.weight' of both 'a.weight' and 'b.weight'"):
        fill_network(network(), tmp_path / "w.pt", rename_of([["^[ab]", "c"]]))


class Whole(nn.Linear):
    """A module that is pickled as it is."""


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (Whole(2, 2), "holds Python objects .*never unpickled: save model.state_dict"),
        (torch.zeros(3), "holds a Tensor, not a state dict"),
        ({"epoch": 3}, "holds no tensors, but epoch"),
    ],
)
def test_anything_else_is_refused_with_its_reason(content: Any, match: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DefinitionError, match=match):
        read_weights(tmp_path / "w.pt")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="there is no file"):
        read_weights(tmp_path / "w.pt")
    with pytest.raises(DefinitionError, match="there is no file"):
        content_identity(tmp_path / "w.pt")
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(DefinitionError, match=r"no file of weights|damaged|Python objects"):
            read_weights(tmp_path / name)


def test_names_of_mappings() -> None:
    assert rename_of("public-spikformer") is NAMED["public-spikformer"]
    with pytest.raises(UnknownName, match="did you mean 'public-spikformer'"):
        rename_of("public-spikeformer")
    with pytest.raises(DefinitionError, match="is no pattern"):
        rename_of([["(", "x"]])


def public_name(name: str) -> str:
    """A name of the built-in Spikformer as the public definition has it."""
    for stage in range(1, 5):
        number = "" if stage == 1 else str(stage - 1)
        name = name.replace(f"tokenizer.conv{stage}.", f"patch_embed.proj_conv{number}.")
        name = name.replace(f"tokenizer.norm{stage}.", f"patch_embed.proj_bn{number}.")
    name = name.replace("tokenizer.position_norm.", "patch_embed.rpe_bn.")
    name = name.replace("tokenizer.position.", "patch_embed.rpe_conv.")
    if name.startswith("blocks."):
        _, number, part, layer, leaf = name.split(".")
        part = {"attention": "attn", "mlp": "mlp"}[part]
        kind = "bn" if layer.endswith("_norm") else "conv"
        name = f"block.{number}.{part}.{layer.removesuffix('_norm')}_{kind}.{leaf}"
    return name


def test_the_public_spikformers_state_dict_fits_the_built_in_one(tmp_path: Path) -> None:
    options = {"embed_dim": 16, "depth": 2, "heads": 2, "pooled_stages": 2}
    given = {"timesteps": 2, "size": 16, "classes": 3}
    source = build_model("spikformer", options, **given, seed=1).double().eval()
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    public = {}
    for name, value in source.state_dict().items():
        theirs = public_name(name)
        if ".attn." in theirs and theirs.endswith("conv.weight"):
            value = value.reshape((*value.shape[:2], 1))  # Conv1d in the public definition
        public[theirs] = value.clone()
    public["pos_embed"] = torch.zeros(1, 4, 16)
    public["norm.weight"] = public["block.0.norm1.weight"] = torch.ones(16)
    torch.save({"state_dict": public}, tmp_path / "public.pth")
    model = build_model("spikformer", options, **given, seed=2).double().eval()
    assert fill_network(model, tmp_path / "public.pth", rename_of("public-spikformer")) == []
    frames = torch.randint(0, 4, (2, 3, 2, 16, 16)).double()
    with torch.no_grad():
        assert torch.equal(model(frames), source(frames))
