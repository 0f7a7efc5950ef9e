"""The mixed quantizer against sums of single quantizers, by autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.quant import FakeQuantizer, make_quantizer, quantizer_of
from hqsearch.quant.mixture import MixedQuantizer, mix_model
from hqsearch.schemes.choice import FP32, all_choices

CHOICES = ("2u", "4u", "2l", "4l", "fp32")
SHAPES = {"linear": (6, 5), "conv": (6, 3, 3, 3), "pointwise": (6, 4, 1, 1), "conv1d": (6, 2, 3)}


def weight_of(shape: tuple[int, ...], seed: int = 0, channels_last: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    if channels_last and len(shape) == 4:
        weight = weight.to(memory_format=torch.channels_last)
    return weight.requires_grad_()


def a_mixture(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator=generator).softmax(0).detach().requires_grad_()


def scattered(mixed: MixedQuantizer) -> None:
    """Scales away from their optimum, so that some weights are clipped."""
    with torch.no_grad():
        for i, scale in enumerate(mixed.quantizers.parameters()):
            factor = 0.45 if i % 2 else 0.6
            scale.copy_(scale * factor if scale.min() > 0 else scale - 0.8)


def naive(mixed: MixedQuantizer, weight: Tensor, mixture: Tensor) -> Tensor:
    """Every choice on its own, then the sum."""
    parts = []
    for choice, share in zip(mixed.choices, mixture, strict=True):
        text = str(choice)
        parts.append(share * (weight if text == FP32 else mixed.quantizers[text](weight)))
    return torch.stack(parts).sum(0)


def gradients(output: Tensor, wanted: list[Tensor], seed: int = 9) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.autograd.grad(output, wanted, torch.randn(output.shape, generator=generator)))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("choices", [CHOICES, ("4u", "8u", "fp32"), ("5l", "3l"), ("fp32", "2l")])
def test_values_and_gradients_are_those_of_the_explicit_sum(
    kind: str, channels_last: bool, choices: tuple[str, ...]
) -> None:
    weight = weight_of(SHAPES[kind], channels_last=channels_last)
    mixture = a_mixture(len(choices))
    mixed = MixedQuantizer(choices, weight.detach())
    scattered(mixed)
    mixed.mix(mixture)
    wanted = [weight, mixture, *mixed.quantizers.parameters()]
    ours, theirs = mixed(weight), naive(mixed, weight, mixture)
    torch.testing.assert_close(ours, theirs)
    for mine, right in zip(gradients(ours, wanted), gradients(theirs, wanted), strict=True):
        assert right.abs().sum() > 0
        torch.testing.assert_close(mine, right, rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    choices=st.lists(st.sampled_from(all_choices()), min_size=1, max_size=6, unique=True),
    seed=st.integers(0, 1000),
)
def test_any_set_of_choices(choices: list[str], seed: int) -> None:
    weight, mixture = weight_of((4, 7), seed), a_mixture(len(choices), seed)
    mixed = MixedQuantizer(choices, weight.detach())
    mixed.mix(mixture)
    wanted = [weight, mixture, *mixed.quantizers.parameters()]
    ours, theirs = mixed(weight), naive(mixed, weight, mixture)
    for mine, right in zip(gradients(ours, wanted), gradients(theirs, wanted), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", range(len(CHOICES)))
@pytest.mark.parametrize("learning", [False, True], ids=["weights", "logits"])
def test_a_whole_share_is_that_quantizer_bit_for_bit(index: int, learning: bool) -> None:
    """Both where only the chosen one is computed, and where the others' gradient is wanted."""
    weight = weight_of((8, 4, 3, 3))
    mixed = MixedQuantizer(CHOICES, weight.detach())
    one_hot = torch.eye(len(CHOICES))[index].requires_grad_(learning)
    mixed.mix(one_hot)
    out = mixed(weight)
    if CHOICES[index] == FP32:
        single, scales = weight.clone(), []
    else:
        quantizer = make_quantizer(CHOICES[index], weight)
        single, scales = quantizer(weight), list(quantizer.parameters())
    assert torch.equal(out, single)
    (own,) = gradients(out, [weight])
    assert torch.equal(own, gradients(single, [weight, *scales])[0])


def test_choices_without_a_share_have_a_gradient_only_in_the_mixture() -> None:
    """Hard samples: a weight step leaves other choices' scales alone, a logit step judges all."""
    weight = weight_of((4, 9))
    mixed = MixedQuantizer(CHOICES, weight.detach())
    mixed.mix(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0]))
    mixed(weight).sum().backward()
    found = {name: q.get_parameter(n).grad for name, n, q in scales_of(mixed)}
    assert [name for name, grad in found.items() if grad is not None] == ["4u"]
    one_hot = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0], requires_grad=True)
    mixed.mix(one_hot)
    grad = torch.randn(4, 9)
    (mixed(weight) * grad).sum().backward()
    assert one_hot.grad is not None
    expected = [(grad * (weight if c == FP32 else mixed.quantizers[c](weight))) for c in CHOICES]
    torch.testing.assert_close(one_hot.grad, torch.stack([e.sum() for e in expected]).detach())


def scales_of(mixed: MixedQuantizer) -> list[tuple[str, str, nn.Module]]:
    return [
        (name, "step" if name.endswith("u") else "log2_scale", module)
        for name, module in mixed.quantizers.items()
    ]


def test_nothing_is_computed_for_frozen_weights() -> None:
    weight = weight_of((4, 9)).detach()
    mixed = MixedQuantizer(CHOICES, weight).requires_grad_(False)
    mixture = a_mixture(5)
    mixed.mix(mixture)
    out = mixed(weight)
    out.backward(torch.ones_like(out))
    assert mixture.grad is not None
    assert all(p.grad is None for p in mixed.parameters())
    with torch.no_grad():
        assert not mixed(weight).requires_grad


def test_one_convolution_per_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = nn.functional.conv2d
    monkeypatch.setattr(
        nn.functional, "conv2d", lambda *a, **k: calls.append(1) or original(*a, **k)
    )
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    mixed = mix_model(model, {"0": CHOICES, "2": ("4u", "fp32")})
    assert list(mixed) == ["0", "2"]
    before = mixed["0"].extra_repr()
    assert before == "2u, 4u, 2l, 4l, fp32"
    calls.clear()
    assert model(torch.randn(2, 2, 4, 4)).shape == (2, 3)
    assert len(calls) == 1
    assert quantizer_of(model[0]) is None


def test_scales_start_as_those_of_a_quantized_network() -> None:
    weight = weight_of((6, 20)).detach()
    mixed = MixedQuantizer(CHOICES, weight)
    for choice in CHOICES[:-1]:
        ours, single = mixed.quantizers[choice], make_quantizer(choice, weight)
        assert isinstance(ours, FakeQuantizer)
        assert torch.equal(ours.scale(), single.scale())


def test_bad_arguments_are_named() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with pytest.raises(UnknownName, match="unknown layer '1'"):
        mix_model(model, {"1": CHOICES})
    with pytest.raises(DefinitionError, match="unknown choice '4x'"):
        mix_model(model, {"0": ("4x",)})
    mixed = mix_model(model, {"0": CHOICES})
    with pytest.raises(ValueError, match="a mixture of 5 choices is needed"):
        mixed["0"].mix(torch.ones(4))
    with pytest.raises(ValueError, match="quantized already"):
        mix_model(model, {"0": CHOICES})
