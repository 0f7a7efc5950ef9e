"""RepConv: its border, and its fold."""

from __future__ import annotations

import torch
from torch import nn

from hqsearch.models.repconv import BorderNorm, RepConv, fold_all, running_affine


def used(channels: int, seed: int = 0) -> RepConv:
    """A RepConv whose normalisations have statistics and affine parameters that matter."""
    torch.manual_seed(seed)
    conv = RepConv(channels)
    for norm in (conv.norm1, conv.norm2):
        nn.init.uniform_(norm.weight, -1.5, 1.5)
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.2, 2.0)
    return conv


def test_the_fold_equals_the_parts_in_evaluation_borders_included():
    conv = used(12).eval()
    spikes = torch.randint(0, 5, (3, 12, 6, 5)).float() / 4
    with torch.no_grad():
        parts, folded = conv(spikes), conv.folded()(spikes)
    assert parts.shape == folded.shape == spikes.shape
    torch.testing.assert_close(folded, parts, rtol=1e-5, atol=1e-5)
    edge = (folded - parts)[:, :, [0, -1]].abs().max()
    assert edge < 1e-5
    assert conv.folded().weight.numel() == 9 * 12 * 12
    assert sum(p.numel() for n, p in conv.named_parameters() if "norm" not in n) == 2 * 144 + 9 * 12


def test_in_training_it_is_not_the_fold():
    """Batch statistics inside, running ones on the border."""
    conv = used(4).train()
    x = torch.rand(2, 4, 5, 5)
    assert not torch.allclose(conv(x), conv.folded()(x), atol=1e-3)


def test_the_border_is_what_running_statistics_make_of_zero_without_a_gradient():
    norm = BorderNorm(3)
    norm.running_mean.normal_()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.rand(2, 3, 4, 4)
    out = norm.train()(x)
    _, offset = running_affine(norm)
    assert out.shape == (2, 3, 6, 6)
    for edge in (out[:, :, 0], out[:, :, -1], out[..., 0], out[..., -1]):
        assert torch.equal(edge, offset.float().view(1, 3, 1).expand_as(edge))
    border = out.sum() - out[:, :, 1:-1, 1:-1].sum()
    gradients = torch.autograd.grad(border, [norm.weight, norm.bias], allow_unused=True)
    assert all(g is None or float(g.abs().max()) < 1e-5 for g in gradients)


def test_in_evaluation_the_border_is_zero_padding_before_the_layer():
    conv = used(5).eval()
    x = torch.rand(1, 5, 4, 4)
    with torch.no_grad():
        padded = nn.functional.pad(x, (1, 1, 1, 1))
        norm1 = nn.BatchNorm2d(5).eval()
        norm1.load_state_dict(conv.norm1.state_dict())
        plain = conv.norm2(conv.point2(conv.depthwise(norm1(conv.point1(padded)))))
        torch.testing.assert_close(conv(x), plain, rtol=1e-5, atol=1e-5)


def test_every_repconv_of_a_network_is_folded():
    model = nn.Sequential(nn.Sequential(used(4), nn.ReLU()), used(4, 1)).eval()
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        before = model(x)
        fold_all(model)
        torch.testing.assert_close(model(x), before, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(m, RepConv) for m in model.modules())
    assert isinstance(model[0][0], nn.Conv2d)
