"""Cost tables for people: layer by layer, and by part of the network.

The breakdown by tokenizer, self-attention (query, key, value, output) and MLP is the one that
SpikeHQ (arXiv 2412.05505) plots.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from hqsearch.hardware.cost import EnergyReport
from hqsearch.hardware.energy import COLUMNS
from hqsearch.hardware.storage import StorageReport

#: Part of the network -> patterns of module paths; the first match counts.
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "tokenizer": (
        "*tokenizer*", "*patch_embed*", "*downsample*", "*stem*", "down[0-9].*", "conv[0-9]_*",
        "conv[0-9].*",
    ),
    "attention: query": ("*.q", "*.q.*", "*.q_*", "*.q@*", "*.query*"),
    "attention: key": ("*.k", "*.k.*", "*.k_*", "*.key*"),
    "attention: value": ("*.v", "*.v.*", "*.v_*", "*.value*"),
    "attention: output": ("*.proj", "*.proj.*", "*.proj_*", "*.attn*.out*", "*.attention.out*"),
    "attention: products": ("*attention*", "*attn*", "*ssa*"),
    "MLP": ("*mlp*", "*.fc1*", "*.fc2*"),
    "head": ("head", "head.*", "*classifier*"),
}  # fmt: skip
OTHER: Final = "other"


def part_of(path: str, parts: Mapping[str, Sequence[str]] = PARTS) -> str:
    """The part of the network that a module path belongs to.

    >>> part_of("blocks.0.attention.q_neuron"), part_of("tokenizer.conv1"), part_of("x")
    ('attention: query', 'tokenizer', 'other')
    >>> part_of("blocks3.0.attention.q.point1"), part_of("conv1_1.conv1"), part_of("conv1.expand")
    ('attention: query', 'tokenizer', 'tokenizer')
    """
    for part, patterns in parts.items():
        if any(fnmatchcase(path, pattern) for pattern in patterns):
            return part
    return OTHER


def layer_table(energy: EnergyReport, storage: StorageReport) -> list[dict[str, Any]]:
    """One row for each operation, then one for the unquantized rest.

    ``weights`` is a count. Energies in µJ per inference, in one column for each kind of cost
    (that of fetching weights is ``energy_weights``; ``energy_offchip`` is the part of it that comes
    from off-chip), and ``energy``, their sum; storage in KiB;
    ``rate`` is None where no spikes are read. ``operations`` is what takes place,
    ``padded_operations`` r·M, as papers count it; both None where an earlier version counted.
    """
    stored = {layer.path: layer for layer in storage.layers}
    rows: list[dict[str, Any]] = []
    for row in energy.rows:
        layer = stored.get(row.path) if row.kind == "weight" else None
        rows.append(
            {
                "path": row.path,
                "kind": row.kind,
                "choice": row.choice,
                "weights": layer.weights if layer else 0,
                "macs": row.macs,
                "input": row.input_kind,
                "rate": row.rate,
                "operations": row.operations if energy.exact else None,
                "padded_operations": row.padded_operations if energy.exact else None,
                **{_column(name): value for name, value in row.columns.items()},
                "energy_offchip": row.offchip,
                "energy": row.total,
                "storage": layer.total / 8192 if layer else 0.0,
            }
        )
    if storage.unquantized:
        rows.append(_unquantized(storage.unquantized / 8192))
    return rows


def _unquantized(kib: float) -> dict[str, Any]:
    return {
        "path": "(other parameters)",
        "kind": "parameters",
        "choice": None,
        "weights": 0,
        "macs": 0,
        "input": None,
        "rate": None,
        "operations": 0.0,
        "padded_operations": 0.0,
        **{_column(name): 0.0 for name in COLUMNS},
        "energy_offchip": 0.0,
        "energy": 0.0,
        "storage": kib,
    }


def _column(cost: str) -> str:
    """The row's key for one kind of cost; ``weights`` is taken by their number."""
    return "energy_weights" if cost == "weights" else cost


def breakdown(
    energy: EnergyReport,
    storage: StorageReport,
    parts: Mapping[str, Sequence[str]] = PARTS,
) -> list[dict[str, Any]]:
    """Energy µJ and storage KiB by part of the network, with their shares of the total."""
    total = {"energy": energy.total, "storage": storage.kib}
    sums: dict[str, dict[str, float]] = {
        name: {"energy": 0.0, "storage": 0.0} for name in [*parts, OTHER]
    }
    for row in layer_table(energy, storage):
        part = sums[part_of(row["path"], parts)]
        part["energy"] += row["energy"]
        part["storage"] += row["storage"]
    return [
        {
            "part": name,
            **part,
            **{f"{key}_share": part[key] / total[key] if total[key] else 0.0 for key in total},
        }
        for name, part in sums.items()
        if any(part.values())
    ]


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; nothing for no rows."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
