"""Files that are damaged, cut off, newer or something else are refused in words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hqsearch.errors import InputError
from hqsearch.export.bits import fixed_point
from hqsearch.export.layers import StoredLayer
from hqsearch.export.packed_file import FORMAT, PackedModel, read_packed, write_packed


def packed() -> PackedModel:
    layer = StoredLayer(
        path="a", choice="3u", shape=(2, 3), codes=np.array([[1, -4, 3], [0, 2, -1]], np.int8),
        weight=None, scale=None, exponent=None, multiplier=None,
        bias=fixed_point([0.5, -2.0], "nearest"), threshold=fixed_point([3.0, -9.0], "outwards"),
        unit=1.0, norm="n", neuron="s",
    )  # fmt: skip
    return PackedModel({"a": layer}, {"p": np.ones((1, 2), np.float32)}, {"title": "t"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_packed(packed(), tmp_path / "m.hq")
    return tmp_path / "m.hq"


def header(file: Path) -> tuple[dict, bytes]:
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def rewritten(file: Path, change) -> None:
    """Change what the header says, keeping the tensors."""
    told, body = header(file)
    about = json.loads(told["__metadata__"]["hqsearch"])
    change(about)
    told["__metadata__"]["hqsearch"] = json.dumps(about)
    text = json.dumps(told).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)


def test_others_may_read_it_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_packed(packed(), tmp_path / "m.hq")
    finally:
        os.umask(before)
    assert (tmp_path / "m.hq").stat().st_mode & 0o777 == 0o640


def test_what_is_read_is_what_was_written(file):
    read = read_packed(file)
    assert np.array_equal(read.layers["a"].codes, packed().layers["a"].codes)
    assert read.layers["a"].threshold.real().tolist() == [3.0, -9.0]
    assert read.layers["a"].bias.real().tolist() == [0.5, -2.0]
    assert (read.about, read.graph) == ({"title": "t"}, None)
    assert {n: v.nbytes for n, v in read.tensors().items()} == {
        "a/codes": 3, "a/threshold": 8, "a/bias": 8, "a/shift": 2, "/p": 8,
    }  # fmt: skip


def test_any_byte_that_changes_is_noticed(file):
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(InputError, match=r"m\.hq"):
            read_packed(file)


def test_any_truncation_is_noticed(file):
    content = file.read_bytes()
    for length in range(0, len(content), 11):
        file.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"m\.hq"):
            read_packed(file)


def test_a_newer_format_is_named(file):
    rewritten(file, lambda told: told.update(format=FORMAT + 1))
    with pytest.raises(InputError, match=f"has format {FORMAT + 1}.*up to format {FORMAT}"):
        read_packed(file)


def test_a_text_that_changes_is_noticed(file):
    rewritten(file, lambda told: told["about"].update(title="u"))
    with pytest.raises(InputError, match="does not hold what was written"):
        read_packed(file)


def test_an_unknown_choice_is_named(file):
    rewritten(file, lambda told: told["layers"]["a"].update(choice="3x"))
    with pytest.raises(InputError, match="cannot be read here: unknown choice '3x'"):
        read_packed(file)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_packed(tmp_path / "none.hq")
    save_file({"a": np.ones(3)}, tmp_path / "other.hq")
    with pytest.raises(InputError, match="no packed model of hqsearch"):
        read_packed(tmp_path / "other.hq")
    (tmp_path / "text.hq").write_text("hello, this is a text and nothing else")
    with pytest.raises(InputError, match="no packed model"):
        read_packed(tmp_path / "text.hq")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"cannot be written: there is no folder .*none\."):
        write_packed(packed(), tmp_path / "none" / "m.hq")
    with pytest.raises(InputError, match="cannot be written: it is a folder"):
        write_packed(packed(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_number_without_dimensions_stays_one(tmp_path: Path):
    """snnTorch keeps thresholds and leaks so."""
    model = PackedModel({}, {"lif.beta": np.array(0.9, np.float32)}, {})
    write_packed(model, tmp_path / "m.hq")
    read = read_packed(tmp_path / "m.hq").loose["lif.beta"]
    assert (read.shape, read.dtype, float(read)) == ((), np.float32, np.float32(0.9))
