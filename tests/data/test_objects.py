"""Arrays in files, functions that return Datasets, and pictures that are given in Python."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from hqsearch.data import (
    DataSpec,
    Images,
    check_data,
    data_classes,
    data_outlook,
    open_frames,
    prepare_data,
)
from hqsearch.data.looking import few_frames, split_facts
from hqsearch.definition import DataDefinition
from hqsearch.errors import DataError, DefinitionError, PluginError, UnknownName


def pictures(n=30, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 8))
    return values.astype(dtype), np.arange(n) % 3


def frames(n=30, seed=0):
    return np.random.default_rng(seed).integers(0, 9, (n, 2, 2, 8, 8), dtype=np.uint8), np.arange(
        n
    ) % 3


def still(path, **keys):
    return DataSpec("arrays", timesteps=2, size=8, path=path, channels=3, still=True, **keys)


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_pictures_of_one_archive_are_split(tmp_path):
    x, y = pictures()
    spec = still(save(tmp_path / "p.npz", images=x, labels=y))
    check_data(spec, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    data = prepare_data(spec, tmp_path / "cache")
    assert data.train.frames.shape == (22, 1, 3, 8, 8)
    assert (len(data.validation), len(data.test)) == (5, 3)
    assert (data.encoding.name, data.encoding.bits) == ("pixels", 8)
    kept = {
        row.tobytes() for part in (data.train, data.validation, data.test) for row in part.frames
    }
    assert kept == {row.tobytes() for row in x}
    assert data_outlook(spec, tmp_path / "cache").ready
    assert data_classes(spec) == ("0", "1", "2")
    assert split_facts(spec).samples["train"]["0"] >= 7
    assert few_frames(spec, 2).shape == (2, 1, 3, 8, 8)


def test_a_folder_of_arrays_with_splits_in_their_names(tmp_path):
    for name, seed in (("train", 0), ("val", 1), ("test", 2)):
        x, y = frames(6, seed)
        np.save(tmp_path / f"{name}-frames.npy", x)
        np.save(tmp_path / f"y_{name}.npy", y)
    spec = DataSpec("arrays", timesteps=2, size=8, path=tmp_path)
    data = prepare_data(spec, tmp_path / "cache")
    assert (data.validation.frames == frames(6, 1)[0]).all()
    assert data.encoding.name == "count"
    few = DataSpec("arrays", timesteps=2, size=8, path=tmp_path, train=3, test=3)
    assert len(prepare_data(few, tmp_path / "cache").train) == 3


def test_real_values_are_kept_in_steps(tmp_path):
    x, y = pictures(dtype=np.float32)
    path = save(tmp_path / "p.npz", x=x / 255 - 0.5, y=y)
    with pytest.raises(DataError, match="set encoding = 'linear'"):
        check_data(still(path), tmp_path / "cache")
    data = prepare_data(still(path, encoding="linear"), tmp_path / "cache")
    seen = data.encoding.to_float(torch.from_numpy(np.array(data.train.frames)))
    assert data.encoding.bits is None
    assert abs(float(seen.min()) + 0.5) < 0.01


class Sized:
    """What pickling would run."""


@pytest.mark.parametrize(
    "arrays, said",
    [
        ({"things": np.zeros(3)}, "it holds things; arrays such as train_frames"),
        ({"x": np.zeros((4, 3, 8, 8), np.uint8)}, "the labels of train are missing"),
        ({"x": np.zeros((4, 3, 8, 8), np.uint8), "y": np.zeros(3, int)}, "train has 4 samples"),
        ({"x": np.zeros((4, 3, 8, 8), np.uint8), "y": np.zeros(4)}, "a whole number each"),
        ({"x": np.array([Sized()]), "y": np.zeros(1, int)}, "holds Python objects"),
        ({"x": np.zeros((30, 8, 8, 3), np.uint8), "y": np.arange(30) % 2}, "channels last"),
        ({"x": np.zeros((30, 8, 8), np.uint8), "y": np.arange(30) % 2}, r"pictures \[n, C, H, W\]"),
        ({"x": np.zeros((30, 3, 8, 9), np.uint8), "y": np.arange(30) % 2}, r"set size = \[8, 9\]"),
        ({"x": np.zeros((30, 1, 8, 8), np.uint8), "y": np.arange(30) % 2}, "set channels = 1"),
        ({"x": np.full((30, 3, 8, 8), 300), "y": np.arange(30) % 2}, "pixels must be 0 to 255"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_with_what_to_do(tmp_path, arrays, said):
    path = save(tmp_path / "p.npz", **arrays)
    with pytest.raises(DataError, match=said) as caught:
        check_data(still(path), tmp_path / "cache")
    assert str(path) in str(caught.value)


def test_archives_that_are_damaged_or_announce_too_much(tmp_path):
    x, y = pictures()
    path = save(tmp_path / "p.npz", x=x, y=y)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(DataError, match="end of the archive is missing"):
        check_data(still(path))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 3, 8, 8)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(100))
    with pytest.raises(DataError, match="it announces an array"):
        check_data(still(path))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(40 << 20))
    with pytest.raises(DataError, match="announce 41,943,040 unpacked"):
        check_data(still(path))
    with pytest.raises(DataError, match="does not exist"):
        check_data(still(tmp_path / "none.npz"))
    (tmp_path / "p.txt").write_text("")
    with pytest.raises(DataError, match=r"from an \.npz file"):
        check_data(still(tmp_path / "p.txt"))


BUILD = """
import numpy as np
import torch
from torch.utils.data import TensorDataset

def build(*, size, seed):
    rng = torch.Generator().manual_seed(seed)
    def split(n):
        return TensorDataset(torch.rand((n, 3, size, size), generator=rng), torch.arange(n) % 2)
    return split(12), split(8), split(8)

def wrong(size):
    return np.zeros(3)

def broken():
    raise KeyError("nothing here")

number = 3
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "mine.py").write_text(BUILD)
    return lambda name, **keys: DataSpec(
        "code", timesteps=1, size=8, path=tmp_path / f"mine.py:{name}", channels=3,
        **{"still": True, "encoding": "linear", **keys},
    )  # fmt: skip


def test_a_function_that_returns_datasets(tmp_path, code):
    spec = code("build")
    check_data(spec, tmp_path / "cache")
    data = prepare_data(spec, tmp_path / "cache")
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 8, 8)
    assert data.encoding.name == "linear"
    other = prepare_data(code("build", seed=1), tmp_path / "cache")
    assert other.fingerprint != data.fingerprint
    (tmp_path / "mine.py").write_text(BUILD.replace("% 2", "% 2 + 0"))
    assert not data_outlook(code("build"), tmp_path / "cache").ready


@pytest.mark.parametrize(
    "name, error, said",
    [
        ("wrong", DataError, "returned a ndarray; train, validation and test are needed"),
        ("broken", DataError, "failed: KeyError: 'nothing here'"),
        ("number", DataError, "is no function"),
        ("biuld", PluginError, "did you mean 'build'"),
    ],
)
def test_functions_that_give_nothing_usable(code, name, error, said):
    with pytest.raises(error, match=said):
        check_data(code(name))


def test_the_path_says_what_it_is(tmp_path):
    kinds = {"x.py:build": "code", "x.npz": "arrays", "x.zip": "pictures"}
    for path, kind in kinds.items():
        assert DataDefinition(path=path).dataset == kind
    with pytest.raises(DefinitionError, match="does not show what it is"):
        DataDefinition(path="somewhere")
    with pytest.raises(UnknownName, match="pixels"):
        DataDefinition(dataset="arrays", path="x.npz", encoding="pixels")


def test_a_definition_says_the_same_when_it_is_read_again():
    told = DataDefinition(dataset="arrays", path="x.npz", still=True, channels=2)
    assert DataDefinition(**told.model_dump()) == told
    colour = DataDefinition(dataset="pictures", path="x", mean=(0.5,) * 3, std=(0.2,) * 3)
    assert DataDefinition(**colour.model_dump()) == colour


def test_images_given_in_python(tmp_path):
    given = Images(pictures(12), pictures(6, seed=1), mean=(0.5,) * 3, std=(0.25,) * 3)
    table = given.table()
    assert (table["encoding"], table["still"], table["channels"]) == ("standardised", True, 3)
    spec = DataSpec.of(DataDefinition(**table), 4, None)
    assert spec.stored_steps == 1
    data = prepare_data(spec, tmp_path, given=given)
    assert data.encoding == given.stored.encoding
    assert open_frames(data.folder).encoding.std == (0.25,) * 3
    assert given.timesteps is None
    assert repr(given) == "Images(train, validation)"


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: Images(pictures(), pictures(), mean=(0.5,)), "belong together"),
        (
            lambda: Images(pictures(), pictures(), mean=(0.5,), std=(0.5,)).stored,
            "for each of the 3",
        ),
        (lambda: Images(frames(), frames()).stored, r"pictures \[n, C, H, W\]"),
        (
            lambda: (
                Images(
                    pictures(dtype=np.float32), pictures(), mean=(0.5,) * 3, std=(0.5,) * 3
                ).stored
            ),
            "normalised already",
        ),
    ],
)
def test_images_that_cannot_be(make, said):
    with pytest.raises((DataError, DefinitionError), match=said):
        make()
