"""Entropy of q, k and v: by hand, on both kinds of neurons, and in an evaluation's details."""

from __future__ import annotations

import math

import pytest
import torch

from hqsearch.models.attention import AttentionProducts
from hqsearch.qat.entropy import FiringEntropy, entropy


def test_by_hand():
    assert entropy(torch.tensor([8, 0])) == 0.0
    assert entropy(torch.tensor([4, 4])) == 1.0
    assert entropy(torch.tensor([1, 1, 1, 1, 1])) == pytest.approx(math.log2(5))


def test_values_are_counted_over_all_batches_by_their_unit():
    model = torch.nn.Module()
    model.attention = torch.nn.Module()
    model.attention.products = AttentionProducts(1, unit=0.25, levels=4)
    q = torch.tensor([0.0, 0.25, 0.5, 1.0]).view(1, 4, 1, 1)
    k, v = torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)
    with FiringEntropy(model) as firing:
        model.attention.products(q, k, v)
        model.attention.products(q, v, v)
    assert firing.bits() == {"attention.q": 2.0, "attention.k": 1.0, "attention.v": 0.0}
    model.attention.products(q, q, q)
    assert firing.bits()["attention.k"] == 1.0


def test_a_model_without_attention_has_none():
    with FiringEntropy(torch.nn.Linear(2, 2)) as firing:
        assert firing.bits() == {}
