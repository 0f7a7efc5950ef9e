"""Makes ``evaluators/synthetic_2.json``: the cost tables that ``synthetic-2`` searches on.

``python tests/benchmarks/synthetic_tables.py WORKLOAD`` with the ``workload.json`` of a prepared
parent of ``gesture`` (``studies/gesture/parents/…/``), whose measured firing rates are used for
both Spikformers: their layers have the same names. The QSD-Transformer is traced on the meta
device, and every neuron of it is taken to fire with probability 0.15, which nobody measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hqsearch.evaluators import synthetic_2

from hqsearch.definition import embedded, load_space, load_study
from hqsearch.hardware import CostModel, LayerRate, Workload, load_profile
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, weight_layers
from hqsearch.problem.space import derive_space

CHOICES = ("2u", "3u", "4u", "2l", "3l", "4l", "fp32")
SPIKFORMERS = {
    "gesture": ({"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}, 8, 32),
    "spikformer-2-256": ({"embed_dim": 256, "depth": 2, "heads": 16, "pooled_stages": 4}, 16, 128),
}
#: Table → network and profile.
TABLES = {
    "gesture-memory": ("gesture", "horowitz-45nm-memory"),
    "gesture": ("gesture", "resident-45nm"),
    "spikformer-2-256": ("spikformer-2-256", "resident-45nm-1mb"),
    "qsd-15m": ("qsd-15m", "resident-45nm-1mb"),
}
UNMEASURED = 0.15


def traced(name: str, options: Mapping[str, Any], steps: int, size: int) -> tuple[Any, Workload]:
    model = build_model(name, dict(options), timesteps=steps, size=size, classes=11)
    frames = torch.zeros((steps, 1, 2, size, size), device="meta")
    return weight_layers(model), trace_workload(model.to("meta"), frames, 4)


def rates_of(path: Path) -> dict[str, LayerRate]:
    """Measured rates by path, from a parent's workload."""
    found = {}
    for row in json.loads(path.read_text())["operations"]:
        if row["rate"] is not None and row["rate_path"]:
            found[row["rate_path"]] = LayerRate(
                row["rate"],
                row["activity"],
                row["rate_se"],
                row["rate_per_use"],
                row["activity_per_use"],
            )
    return found


def table_of(layers: Sequence[Any], workload: Workload, profile: str, rates: str) -> dict[str, Any]:
    """Costs by dimension and choice: energy µJ, storage bits and code bits."""
    study = load_study(embedded("studies")["gesture"])
    space = derive_space(load_space("spikformer", study), layers)
    model = CostModel(
        workload, load_profile(profile), {p: CHOICES for d in space.dimensions for p in d.layers}
    )
    places = {path: i for i, path in enumerate(model.layers)}
    energies, stored = model.tables()
    codes = model.code_tables()

    def summed(tables: Sequence[Any]) -> list[list[float]]:
        rows = [sum(tables[places[p]] for p in d.layers) for d in space.dimensions]
        return [[float(f"{v:.6g}") for v in row] for row in np.asarray(rows)]

    memory = model.memory
    return {
        "profile": profile,
        "rates": rates,
        "layers": [d.name for d in space.dimensions],
        "weights": [sum(workload.layers[p].weights for p in d.layers) for d in space.dimensions],
        "energy": summed(energies),
        "storage": summed(stored),
        "codes": summed(codes),
        "rest": [*model.rest, model.codes_rest],
        "memory": None if memory is None else [float(memory.capacity), float(memory.price)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", type=Path, help="workload.json of a parent of gesture")
    args = parser.parse_args()
    measured = rates_of(args.workload)
    tables: dict[str, Any] = {}
    for name, (network, profile) in TABLES.items():
        if network in SPIKFORMERS:
            layers, workload = traced("spikformer", *SPIKFORMERS[network])
            workload, rates = workload.with_rates(measured), "measured on gesture"
        else:
            layers, workload = traced("qsd-15m", {}, 4, 128)
            workload, rates = workload.with_rate(UNMEASURED), f"{UNMEASURED} assumed"
        tables[name] = table_of(layers, workload, profile, rates)
        print(f"{name}: {len(tables[name]['layers'])} dimensions")
    place = Path(synthetic_2.__file__).with_suffix(".json")
    place.write_text(json.dumps({"choices": CHOICES, "tables": tables}, separators=(",", ":")))
    print(f"{place}: {place.stat().st_size} bytes")


if __name__ == "__main__":
    main()
