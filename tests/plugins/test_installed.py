"""Objects of installed packages, by name."""

from __future__ import annotations

import pytest

from hqsearch.errors import PluginError
from hqsearch.plugins import installed_identity, is_installed_reference, load_installed


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("torch.nn:Linear", True),
        ("net.py:build", False),
        ("folder/net.py:build", False),
        ("spikformer", False),
        ("torch.nn:", False),
    ],
)
def test_what_is_a_reference(text: str, is_one: bool) -> None:
    assert is_installed_reference(text) == is_one


def test_loading() -> None:
    from torch import nn

    assert load_installed("torch.nn:Linear") is nn.Linear
    with pytest.raises(PluginError, match="no module 'torhc' is installed here"):
        load_installed("torhc.nn:Linear")
    with pytest.raises(PluginError, match=r"does not define 'Linaer'; did you mean 'Linear'"):
        load_installed("torch.nn:Linaer")


def test_identity_holds_version_and_code() -> None:
    import torch

    told = installed_identity("torch.nn:Linear")
    assert told.startswith(f"torch.nn:Linear torch {torch.__version__.partition('+')[0]}")
    assert " code " in told
    with pytest.raises(PluginError, match="no module"):
        installed_identity("torhc.nn:Linear")
