"""Profiles: what they must say, and how they are refused."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

import pytest

from hqsearch.errors import DefinitionError, InputError, UnknownName
from hqsearch.hardware import load_profile, profile_names
from hqsearch.hardware.profile import CONSTANTS, DERIVED, EARLIER, RULES, SIZED

EARLY = ("horowitz-45nm", "horowitz-45nm-memory", "loihi-14nm", "sop-45nm")
SIZES = ("resident-45nm", "resident-45nm-1mb")
NAMES = (*EARLY[:2], "linear-bits", EARLY[2], *SIZES, EARLY[3])


def text() -> str:
    return (resources.files("hqsearch.hardware.profiles") / "horowitz-45nm-memory.toml").read_text()


def load(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    load_profile(path)


def test_the_profiles_that_come_along() -> None:
    assert tuple(profile_names()) == NAMES
    for name in NAMES:
        profile = load_profile(name)
        sized = {*CONSTANTS, *SIZED} - {*DERIVED}
        assert set(profile.constants) == (sized if name in SIZES else {*CONSTANTS})
        assert {*profile.values()} >= {*CONSTANTS}
        assert set(profile.rules) == {*RULES} - ({*EARLIER} if name in EARLY else set())
        assert all(c.source for c in profile.constants.values())
        # Two and four bits are published nowhere.
        assert profile.constants["add_per_bit"].origin != "published"


#: Of what 0.1 and 0.2 have in the fingerprints of studies.
CONTENTS = {
    "horowitz-45nm": "b4bfff2b9f4437fe",
    "horowitz-45nm-memory": "224be84b5aa8b437",
    "loihi-14nm": "5761ee2b8d8bf4b1",
    "sop-45nm": "0dd4a517f2344eeb",
}


@pytest.mark.parametrize("name", EARLY)
def test_earlier_profiles_are_what_they_were(name: str) -> None:
    contents = json.dumps(load_profile(name).contents(), sort_keys=True)
    assert hashlib.sha256(contents.encode()).hexdigest()[:16] == CONTENTS[name]


def test_reading_costs_what_the_size_says() -> None:
    for name, energy in (("resident-45nm", 0.3125 * 4**0.46439), ("resident-45nm-1mb", 1.5625)):
        profile = load_profile(name)
        values = profile.values()
        assert values["weight_memory"] == pytest.approx(energy, rel=1e-4)
        assert values["membrane_memory"] == values["traffic_per_bit"] == 0.3125
        derived = {row["constant"]: row for row in profile.table() if row["constant"] in DERIVED}
        assert set(derived) == set(DERIVED)
        published = derived["weight_memory"]["origin"] == "published"
        assert published == (name == "resident-45nm-1mb")
    assert load_profile("sop-45nm").derived() == {}


@pytest.mark.parametrize(
    ("kib", "how"), [("4", "the smallest memory"), ("4096", "beyond the largest published")]
)
def test_sizes_outside_the_published_ones_are_told(tmp_path: Path, kib: str, how: str) -> None:
    content = (resources.files("hqsearch.hardware.profiles") / "resident-45nm.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(content.replace("value = 128\n", f"value = {kib}\n"))
    told = load_profile(path).derived()["weight_memory"]
    assert how in told.source
    assert told.origin == "extrapolated"


def test_the_fields_convention_and_the_published_additions() -> None:
    values = load_profile("sop-45nm").values()
    assert values["float_multiply"] + values["float_add"] == pytest.approx(4.6)
    assert values["float_add"] == 0.9
    for bits, published in ((8, 0.03), (32, 0.1)):
        line = values["add_base"] + values["add_per_bit"] * bits
        assert line == pytest.approx(published, rel=1e-3)


def test_a_users_file_and_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(text().replace("value = 0.9\n", "value = 0.5\n"))
    mine, builtin = load_profile(path), load_profile("horowitz-45nm-memory")
    assert mine.name == "chip"
    assert mine.values()["float_add"] == 0.5
    changed = mine.contents()["constants"], builtin.contents()["constants"]
    assert {n for n in CONSTANTS if changed[0][n] != changed[1][n]} == {"float_add"}
    assert len(mine.table()) == len(CONSTANTS)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("value = 0.9\n", "value = -0.9\n", DefinitionError, "'float_add': -0.9 is less than 0"),
        ("value = 0.9\n", "value = nan\n", DefinitionError, "no finite number"),
        ("value = 0.9\n", 'value = "0.9"\n', DefinitionError, "no finite number"),
        ("value = 0.9\n", "", DefinitionError, "'value' is missing"),
        ('unit = "pJ"\n', "", DefinitionError, "'unit' is missing"),
        ('unit = "pJ"\n', 'unit = "nJ"\n', DefinitionError, "give it in 'pJ'"),
        ('origin = "published"\n', "", DefinitionError, "'origin' is missing"),
        ('origin = "published"\n', 'origin = "publishd"\n', UnknownName, "mean 'published'"),
        ("[constants.float_add]", "[constants.flot_add]", UnknownName, "mean 'float_add'"),
        ("[constants.float_add]", "[other]", UnknownName, "unknown key 'other'"),
        ('adder = "accumulator"\n', "", DefinitionError, "rule 'adder' is missing"),
        ('adder = "accumulator"\n', 'adder = "weights"\n', UnknownName, "mean 'weight'"),
        ('adder = "accumulator"\n', "adder =\n", DefinitionError, "not valid TOML"),
        ("value = 16\n", "value = 0\n", DefinitionError, "less than 1"),
        ("title = ", "tilte = ", UnknownName, "mean 'title'"),
    ],
)
def test_bad_profiles(
    tmp_path: Path, old: str, new: str, error: type[Exception], message: str
) -> None:
    content = text()
    assert old in content
    with pytest.raises(error, match=message):
        load(tmp_path, content.replace(old, new, 1))


def test_a_missing_constant_is_named_with_its_unit(tmp_path: Path) -> None:
    content = text()
    start = content.index("[constants.offchip]")
    end = content.index("[constants.weight_buffer]")
    with pytest.raises(DefinitionError, match=r"'offchip' is missing \(.*pJ/bit\)"):
        load(tmp_path, content[:start] + content[end:])


SIZE_RULE = 'memory = "by-size"\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SIZE_RULE, "", "'sram_8_kib' has no effect without the rule memory = 'by-size'"),
        ("[constants.sram_8_kib]", "[constants.weight_memory]", "follows from 'weight_buffer'"),
        ("value = 0.15625\n", "value = 0\n", "must be above 0"),
        ("[constants.state_memory]", "[constants.state_memori]", "mean 'state_memory'"),
        ('residency = "network"', 'residency = "networks"', "mean 'network'"),
    ],
)
def test_bad_memories(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = resources.files("hqsearch.hardware.profiles")
    content = (folder / "resident-45nm.toml").read_text()
    assert old in content
    with pytest.raises(InputError, match=message):
        load(tmp_path, content.replace(old, new, 1))


@pytest.mark.parametrize("name", ["weight_buffer", "state_memory"])
def test_memories_without_a_size_are_refused(tmp_path: Path, name: str) -> None:
    content = (resources.files("hqsearch.hardware.profiles") / "resident-45nm.toml").read_text()
    before, _, after = content.partition(f"[constants.{name}]\n")
    with pytest.raises(DefinitionError, match=rf"'{name}' is missing \(.*KiB\)"):
        load(tmp_path, before + after[after.index("[constants.") :])


def test_missing_files_and_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="mean 'sop-45nm'"):
        load_profile("sop-45")
    with pytest.raises(DefinitionError, match="cannot be read"):
        load_profile(tmp_path / "none.toml")
