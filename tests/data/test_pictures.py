"""Pictures of a study: folder, archive, CIFAR-10; splits; everything broken at once."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from hqsearch.data import (
    DataSpec,
    check_data,
    data_classes,
    data_outlook,
    load_data,
    prepare_data,
    splits_given,
)
from hqsearch.data.looking import few_frames, split_facts
from hqsearch.data.picture_stores import CifarStore
from hqsearch.data.pictures import PictureSource
from hqsearch.errors import DataError, DefinitionError, UnknownName
from tests.data.pictures_on_disk import classes_of, encoded, picture, write_folder, write_zip


def spec_of(path, dataset="pictures", **keys):
    return DataSpec(dataset, timesteps=3, size=8, path=path, **keys)


SPLIT = {
    **classes_of(each=6, prefix="train/"),
    **classes_of(each=3, prefix="val/"),
    **classes_of(each=4, prefix="Test/"),
}


def test_a_folder_of_classes_is_split(tmp_path):
    spec = spec_of(write_folder(tmp_path / "p", classes_of(each=20)))
    data = prepare_data(spec, tmp_path / "cache")
    assert data.classes == ("cat", "dog")
    assert data.train.frames.shape == (29, 1, 3, 8, 8)
    assert (len(data.validation), len(data.test)) == (7, 4)
    assert "40 pictures in 2 classes" in data.summary
    assert any("set aside" in warning for warning in data.warnings)
    assert not data.simulated


@pytest.mark.parametrize("pack", [write_folder, lambda p, f: write_zip(p.with_suffix(".zip"), f)])
def test_split_folders_in_any_case_in_a_folder_or_an_archive(tmp_path, pack):
    spec = spec_of(pack(tmp_path / "p", SPLIT))
    data = prepare_data(spec, tmp_path / "cache")
    assert [len(getattr(data, s)) for s in ("train", "validation", "test")] == [12, 6, 8]
    assert splits_given(spec) >= {"validation", "test"}
    expected = np.asarray(picture(7 * 6, 12, 10).resize((10, 8), Image.Resampling.BICUBIC))
    assert (data.train.frames[0, 0] == expected[:, 1:9].transpose(2, 0, 1)).all()


def test_the_same_pictures_give_the_same_fingerprint_wherever_they_lie(tmp_path):
    spec = spec_of(write_folder(tmp_path / "a", SPLIT))
    other = spec_of(write_zip(tmp_path / "b.zip", {f"around/{n}": c for n, c in SPLIT.items()}))
    one, two = prepare_data(spec, tmp_path / "1"), prepare_data(other, tmp_path / "2")
    assert one.fingerprint == two.fingerprint
    assert load_data(spec, tmp_path / "1").fingerprint == one.fingerprint


def test_frames_do_not_depend_on_timesteps_and_bytes_are_told(tmp_path):
    spec = spec_of(write_folder(tmp_path / "p", SPLIT))
    outlook = data_outlook(spec, tmp_path / "cache")
    assert outlook.bytes == 26 * 3 * 64
    assert not outlook.ready
    prepare_data(spec, tmp_path / "cache")
    longer = DataSpec("pictures", timesteps=5, size=8, path=tmp_path / "p")
    assert data_outlook(longer, tmp_path / "cache").ready
    assert data_classes(longer) == ("cat", "dog")


def test_a_check_decodes_once_and_creates_nothing(tmp_path, monkeypatch):
    spec = spec_of(write_folder(tmp_path / "p", SPLIT))
    check_data(spec, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr("hqsearch.data.picture_stores.decode", None)  # would fail if it were used
    assert len(prepare_data(spec, tmp_path / "cache").train) == 12


def test_a_large_set_is_checked_by_its_headers_and_decoded_when_it_is_written(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("hqsearch.data.pictures.KEPT_BYTES", 0)
    files = {**SPLIT, "train/cat/77.png": b"no picture", "train/cat/78.png": b""}
    spec = spec_of(write_folder(tmp_path / "p", files))
    with pytest.raises(DataError, match=r"(?s)2 pictures cannot be used.*77\.png.*78\.png"):
        check_data(spec, tmp_path / "cache")
    (tmp_path / "p/train/cat/77.png").unlink()
    cut = tmp_path / "p/train/cat/78.png"
    cut.write_bytes(encoded(picture(1))[:-60])
    check_data(spec, tmp_path / "cache")
    with pytest.raises(DataError, match=r"78\.png: is damaged or cut off"):
        prepare_data(spec, tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").glob("*") if p.suffix != ".lock"] == []
    cut.unlink()
    kept = prepare_data(spec, tmp_path / "cache")
    monkeypatch.undo()
    check_data(spec, tmp_path / "other")
    assert prepare_data(spec, tmp_path / "other").fingerprint == kept.fingerprint


def test_all_broken_pictures_are_named_at_once(tmp_path):
    files = {**SPLIT, "train/cat/90.png": b"", "train/dog/91.jpg": b"x" * 50, "test/cat/92.webp":
             encoded(picture(5), "webp")[:40]}  # fmt: skip
    spec = spec_of(write_folder(tmp_path / "p", files))
    with pytest.raises(DataError) as caught:
        check_data(spec, tmp_path / "cache")
    text = str(caught.value)
    assert text.startswith("3 pictures cannot be used:")
    assert all(name in text for name in ("90.png", "91.jpg", "92.webp"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "holds no pictures"),
        ({"cat/notes.txt": b"hm"}, "holds no pictures"),
        (classes_of("cat"), "holds one class only"),
        ({**SPLIT, "extra/x.png": encoded(picture())}, "which is unclear"),
        (classes_of(prefix="test/"), "but no train/ to learn from"),
        ({**SPLIT, **classes_of("cow eel", 1, "test/")}, r"'cow', 'eel' of test/ have no folder"),
        ({"a.png": encoded(picture())}, "not in folders of classes"),
    ],
)
def test_folders_that_are_no_data_set(tmp_path, files, said):
    (tmp_path / "p").mkdir()
    with pytest.raises(DataError, match=said):
        check_data(spec_of(write_folder(tmp_path / "p", files)))


def test_an_empty_class_folder_is_named(tmp_path):
    write_folder(tmp_path / "p", classes_of(each=20))
    (tmp_path / "p" / "eel").mkdir()
    with pytest.raises(DataError, match=r"no pictures .* for eel"):
        check_data(spec_of(tmp_path / "p"))


def test_what_was_ignored_or_is_missing_is_told(tmp_path):
    files = {**SPLIT, "train/cat/readme.txt": b"", "loose.png": encoded(picture())}
    del files["val/dog/00.png"], files["val/dog/01.png"], files["val/dog/02.png"]
    grey = {"train/cat/80.png": encoded(picture(8, mode="L"))}
    data = prepare_data(spec_of(write_folder(tmp_path / "p", files | grey)), tmp_path / "cache")
    told = " ".join(data.warnings)
    assert "readme.txt" in told
    assert "loose.png" in told
    assert "validation/ has no picture of dog" in told
    assert "1 picture was converted (grey), such as" in told


def test_the_same_picture_in_two_splits_is_told(tmp_path):
    files = {
        **SPLIT,
        "test/cat/again.png": SPLIT["train/cat/00.png"],
        "test/dog/again.png": SPLIT["val/dog/00.png"],
    }
    spec = spec_of(write_folder(tmp_path / "p", files))
    check_data(spec, tmp_path / "cache")
    facts = split_facts(spec)
    assert facts is not None
    assert facts.samples["train"] == {"cat": 6, "dog": 6}
    learned, validated = (note for note in facts.notes if "is the same sample as" in note)
    assert "cat/again.png of test" in learned
    assert learned.endswith("of train: an accuracy on it says little; remove one of them")
    assert "dog/again.png of test" in validated
    assert "of validation: confirming on it says no more than the search did" in validated


def test_a_class_of_one_picture_is_measured_nowhere(tmp_path):
    files = {**classes_of(each=20), "emu/one.png": encoded(picture(5))}
    facts = split_facts(spec_of(write_folder(tmp_path / "p", files)))
    assert facts is not None
    assert "no validation sample of emu: how well they are told is not measured" in facts.notes
    assert "no test sample of emu: how well they are told is not measured" in facts.notes


def test_a_look_at_few(tmp_path):
    frames = few_frames(spec_of(write_folder(tmp_path / "p", SPLIT)), 3)
    assert frames is not None
    assert frames.shape == (3, 1, 3, 8, 8)


@pytest.mark.parametrize(
    "name, said",
    [
        ("/etc/cat/1.png", "leads out of the archive"),
        ("cat/../../1.png", "leads out of the archive"),
        ("C:/cat/1.png", "leads out of the archive"),
    ],
)
def test_archives_that_lead_elsewhere_are_refused(tmp_path, name, said):
    path = write_zip(tmp_path / "p.zip", {**SPLIT, name: encoded(picture())})
    with pytest.raises(DataError, match=said):
        check_data(spec_of(path))


def test_links_and_bombs_in_archives_are_refused(tmp_path):
    path = write_zip(tmp_path / "p.zip", SPLIT)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("train/cat/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        check_data(spec_of(path))
    bomb = write_zip(tmp_path / "bomb.zip", {**SPLIT, "train/cat/0.png": bytes(65 << 20)})
    with pytest.raises(DataError, match="at most 67,108,864 are read"):
        check_data(spec_of(bomb))
    many = {f"train/cat/b{i}.png": bytes(33 << 20) for i in range(3)}
    with pytest.raises(DataError, match="more than 100 times as many"):
        check_data(spec_of(write_zip(tmp_path / "many.zip", {**SPLIT, **many})))


def test_a_cut_archive_and_a_damaged_member(tmp_path):
    path = write_zip(tmp_path / "p.zip", SPLIT)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"no \.zip archive, or is cut off"):
        check_data(spec_of(path))
    middle = len(content) // 3
    path.write_bytes(content[:middle] + b"\0" * 40 + content[middle + 40 :])
    with pytest.raises(DataError, match=r"cannot be unpacked|damaged"):
        check_data(spec_of(path), tmp_path / "cache")
    with pytest.raises(DataError, match="does not exist"):
        check_data(spec_of(tmp_path / "none.zip"))
    (tmp_path / "p.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"from a folder or a \.zip"):
        check_data(spec_of(tmp_path / "p.tar"))


def write_cifar(root, each=20):
    """CIFAR-10's binary files, small."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    for file in CifarStore._FILES:
        rows = rng.integers(0, 256, (each, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(each) % 10
        (root / file).write_bytes(rows.tobytes())
    return root


@pytest.mark.parametrize("dataset", ["cifar10", "pictures"])
def test_the_binary_layout_of_cifar(tmp_path, dataset):
    root = write_cifar(tmp_path / "d" / "cifar-10-batches-bin")
    place = root.parent if dataset == "cifar10" else root
    spec = DataSpec(dataset, timesteps=1, size=32, path=place, train=50, validation=20)
    data = prepare_data(spec, tmp_path / "cache")
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert (len(data.train), len(data.validation), len(data.test)) == (50, 20, 20)
    rows = np.fromfile(root / "test_batch.bin", np.uint8).reshape(-1, 3073)
    airplanes = rows[rows[:, 0] == 0]
    assert (data.test.frames[0].ravel() == airplanes[0, 1:]).all()
    small = DataSpec(dataset, timesteps=1, size=16, path=place, channels=1)
    assert prepare_data(small, tmp_path / "cache").train.frames.shape[1:] == (1, 1, 16, 16)


def test_faults_of_cifar_files(tmp_path):
    root = write_cifar(tmp_path / "c")
    (root / "data_batch_2.bin").unlink()
    (root / "data_batch_3.bin").write_bytes(bytes(3000))
    (root / "test_batch.bin").write_bytes(bytes([77]) + bytes(3072))
    with pytest.raises(DataError) as caught:
        check_data(spec_of(root, "cifar10"))
    text = str(caught.value)
    assert all(t in text for t in ("2.bin: is missing", "3.bin: is cut off", "the label 77"))
    shutil.rmtree(root)
    write_folder(root, {"data_batch_1": b"\x80\x02}", "test_batch": b""})
    with pytest.raises(DataError, match=r"pickled.*cifar-10-binary\.tar\.gz"):
        check_data(spec_of(root, "cifar10"))
    with pytest.raises(DataError, match=r"does not exist.*cifar-10-binary"):
        check_data(spec_of(tmp_path / "nowhere", "cifar10"))


def test_imagenet_measures_on_val_and_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"does not exist.*is not downloaded"):
        check_data(spec_of(tmp_path / "none", "imagenet"))
    with pytest.raises(DataError, match=r"holds no train/.*is not downloaded"):
        check_data(spec_of(write_folder(tmp_path / "p", classes_of()), "imagenet"))
    root = write_folder(
        tmp_path / "i",
        {**classes_of(each=10, prefix="train/"), **classes_of(each=4, prefix="val/")},
    )
    spec = spec_of(root, "imagenet")
    assert dict(data_outlook(spec, tmp_path / "cache").samples) == {
        "train": 16,
        "validation": 4,
        "test": 8,
    }


def test_standardised_pictures_are_real(tmp_path):
    spec = spec_of(write_folder(tmp_path / "p", SPLIT), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    assert spec.encoding == "standardised"
    data = prepare_data(spec, tmp_path / "cache")
    assert data.encoding.bits is None
    stored = torch.from_numpy(np.array(data.train.frames[:2]))
    seen = data.encoding.to_float(stored)
    assert seen.shape == stored.shape
    expected = (stored[0, 0, 2, 3, 4] / 255 - 0.3) / 0.1
    torch.testing.assert_close(seen[0, 0, 2, 3, 4], expected)
    plain = prepare_data(spec_of(tmp_path / "p"), tmp_path / "cache")
    assert plain.encoding.bits == 8
    assert (plain.encoding.to_float(stored) == stored).all()


@pytest.mark.parametrize(
    "keys, error, said",
    [
        ({"encoding": "log2"}, UnknownName, "log2"),
        ({"mean": (0.5,), "std": (0.5,)}, DefinitionError, "one number for each of the 3"),
        ({"mean": (0.5,) * 3}, DefinitionError, "std is missing"),
        ({"encoding": "standardised"}, DefinitionError, "needs both"),
        ({"mean": (0.5,) * 3, "std": (0.0,) * 3}, DefinitionError, "std must be positive"),
        ({"channels": 2}, DefinitionError, "3 .colour. or 1"),
        ({"sensor": (4, 4)}, DefinitionError, "sensor is of events"),
        ({"download": True}, DefinitionError, "download does not apply"),
        ({"fit": "squeeze"}, Exception, "crop"),
        ({"still": True}, DefinitionError, "still does not apply"),
        ({"group": "cat"}, DefinitionError, "needs one group in parentheses"),
        ({"window": "4 ms"}, DefinitionError, "window is of events"),
        ({"bins": "events"}, DefinitionError, "bins is of events"),
        ({"presented": "twice"}, Exception, "every-step"),
    ],
)
def test_keys_that_do_not_fit_pictures(tmp_path, keys, error, said):
    with pytest.raises(error, match=said):
        spec_of(tmp_path, **keys)


def by_patient(classes=("cat", "dog"), patients=8, each=3):
    return {
        f"{label}/p{10 * place + i}-{j}.png": encoded(picture(100 * place + 10 * i + j, 9, 9))
        for place, label in enumerate(classes)
        for i in range(patients)
        for j in range(each)
    }


@pytest.mark.parametrize("pack", [write_folder, lambda p, f: write_zip(p.with_suffix(".zip"), f)])
def test_pictures_of_one_group_stay_in_one_split(tmp_path, pack):
    path = pack(tmp_path / "p", by_patient())
    spec = spec_of(path, group=r"(p\d+)-")
    found = {
        name: {chosen.name.rsplit("/")[-1].split("-")[0] for chosen in part}
        for name, part in PictureSource(spec).splits.items()
    }
    assert all(found.values())
    assert len(set().union(*found.values())) == sum(map(len, found.values())) == 16
    data = prepare_data(spec, tmp_path / "cache")
    assert "16 groups by '(p\\\\d+)-', none in two splits" in data.summary
    torn = PictureSource(spec_of(path)).splits
    names = [{c.name.rsplit("/")[-1].split("-")[0] for c in part} for part in torn.values()]
    assert sum(map(len, names)) > 16


def test_a_group_that_paths_do_not_have(tmp_path):
    path = write_folder(tmp_path / "p", by_patient() | {"cat/other.png": encoded(picture(1, 9, 9))})
    with pytest.raises(DataError, match=r"other.png: .data. group = .* does not match its path"):
        PictureSource(spec_of(path, group=r"(p\d+)-")).counts()
    with pytest.raises(DataError, match="matches no path below"):
        PictureSource(spec_of(path, group=r"patient(\d+)")).counts()
