"""Trained models, kept and packed, as tables and words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqsearch.show.literal_table import LiteralTable
from hqsearch.show.text import number
from hqsearch.sides import sides
from hqsearch.store.model_record import ModelRecord

if TYPE_CHECKING:
    from hqsearch.export.packed_file import PackedModel, Sizes


def model_line(record: ModelRecord) -> str:
    """A kept model in a line, without its trial."""
    merged = ", validation merged" if record.merged else ""
    return (
        f"{_measured(record.accuracy, (record.low, record.high), record.samples)}, "
        f"{_epochs(record.epochs)}{merged}; {record.folder}"
    )


def models_lines(records: Sequence[ModelRecord]) -> list[str]:
    """The kept models of a study, each in a line."""
    return [f"trained: trial {record.trial}: {model_line(record)}" for record in records]


def training_text(
    record: ModelRecord, manifest: Mapping[str, Any], folder: Path, place: str
) -> str:
    """What a final training came to.

    Args:
        folder: where it is kept.
        place: options of a command that finds the study.
    """
    told, values = manifest["accuracy"], manifest["values"]
    seeds = len(record.seeds)
    how = f"seed {record.seed}" + (f", best of {seeds} on validation" if seeds > 1 else "")
    if record.merged:
        how += ", validation split learned from"
    lines = [
        f"trial {record.trial} of {manifest['study']}, trained {_epochs(record.epochs)} ({how}):",
        _measured(record.accuracy, (record.low, record.high), record.samples),
    ]
    before = [
        f"{words} {100 * told[key]:.1f} %"
        for key, words in (("validation", "on validation"), ("searched", "in the search"))
        if told.get(key) is not None
    ]
    if before:
        lines.append(", ".join(before))
    costs = [f"{number(values['energy'])} µJ", f"{number(values['storage'])} KiB"]
    lines.append(", ".join([*costs, f"{number(manifest['average_bits'])} bits a weight"]))
    if record.trainings > 1:
        lines.append(f"measured on test after {record.trainings} trainings of this trial so far")
    if manifest["data"]["simulated"]:
        lines.append("simulated data: the accuracy says nothing about a real sensor")
    lines.append(f"kept in {folder}")
    lines.append(f"next: hqsearch export {place} --trial {record.trial} --format hq -o model.hq")
    return "\n".join(lines)


def exported_text(kind: str, path: Path, parts: Mapping[str, int]) -> str:
    """What an export wrote."""
    spent = ", ".join(f"{name} {size:,}" for name, size in parts.items())
    return f"written: {path} ({kind}); bytes: {spent}"


def packed_text(packed: PackedModel, sizes: Sizes, path: Path) -> str:
    """A ``.hq`` file's facts, above its layers."""
    about = packed.about
    told, frames, data = about["accuracy"], about["input"], about["data"]
    interval, samples = told["interval"], told["samples"]
    training = about["training"]
    width = f"{frames['bits']} bit" if frames["bits"] else "real-valued"
    height, side = sides(frames["size"])
    lines = [
        f"{path}: {about['study']}, trial {about['trial']}: {about['title']}".removesuffix(": "),
        _measured(told["test"], (interval[0], interval[1]), samples),
        f"bytes: tensors {sizes.tensors:,} (the reported storage, "
        f"{sizes.tensors / 1024:.3f} KiB), graph {sizes.graph:,}, header {sizes.header:,}",
        f"input: {frames['timesteps']} timesteps of {frames['channels']} × {height} × {side}, "
        f"{frames['encoding']} ({width})",
        f"classes: {', '.join(about['classes'])}",
        f"trained {_epochs(training['epochs'])}, seed {training['seed']}, recipe "
        f"{about['recipe']}, hqsearch {about['versions'].get('hqsearch', 'unknown')}",
    ]
    origin = "simulated" if data["simulated"] else "recorded"
    licence = f", licence {data['licence']}" if data["licence"] else ""
    lines.append(f"data: {data['dataset']}, {origin}{licence}")
    return "\n".join(lines)


def packed_table(packed: PackedModel) -> LiteralTable:
    """Layers of a ``.hq`` file, in the order of execution."""
    table = LiteralTable(header_style="bold")
    table.add_column("layer", overflow="fold")
    table.add_column("choice")
    for name in ("weights", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("tensors", overflow="fold")
    for row in packed_rows(packed):
        tensors = ", ".join(f"{n} {size:,}" for n, size in row["tensors"].items())
        cells = (f"{row['weights']:,}", f"{row['bytes']:,}", tensors)
        table.add_row(row["layer"], row["choice"], *cells)
    return table


def packed_rows(packed: PackedModel) -> list[dict[str, Any]]:
    """Layers of a ``.hq`` file: path, choice, weights, bytes, bytes by tensor."""
    rows: list[dict[str, Any]] = []
    for path, layer in packed.layers.items():
        tensors = {name: value.nbytes for name, value in layer.tensors().items()}
        weights = math.prod(layer.shape)
        total = sum(tensors.values())
        row = {"layer": path, "choice": layer.choice, "weights": weights, "bytes": total}
        rows.append({**row, "tensors": tensors})
    for name, value in packed.loose.items():
        row = {"layer": name, "choice": "fp32", "weights": value.size, "bytes": value.nbytes}
        rows.append({**row, "tensors": {}})
    return rows


def _measured(accuracy: float, interval: tuple[float, float], samples: int) -> str:
    low, high = interval
    return (
        f"{100 * accuracy:.1f} % on {samples:,} test samples (95 %: {100 * low:.1f} to "
        f"{100 * high:.1f})"
    )


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
