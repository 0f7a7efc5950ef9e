from __future__ import annotations

import pytest

from hqsearch.data import DataSpec
from hqsearch.definition.data import DataDefinition
from hqsearch.definition.lengths import check_pattern, window_microseconds
from hqsearch.errors import DefinitionError, UnknownName


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("400 ms", 400_000),
        ("0.4s", 400_000),
        ("2500us", 2500),
        (" 1 s ", 1_000_000),
        ("1 ms", 1000),
    ],
)
def test_lengths_are_read_with_their_unit(text: str, length: int) -> None:
    assert window_microseconds(text) == length


@pytest.mark.parametrize(
    "text", ["400", "ms", "-1 s", "1 h", "0.5 us", "2 hours", "4000 s", "nan s"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"\[data\] window must be"):
        DataDefinition(dataset="folder", window=text)


@pytest.mark.parametrize("pattern", ["user", "(a)(b)", "(", "*"])
def test_a_pattern_has_one_group(pattern: str) -> None:
    with pytest.raises(DefinitionError, match=r"\[data\] group"):
        check_pattern(pattern)


def test_new_keys_say_nothing_where_they_are_not_set() -> None:
    """Fingerprints of studies that do not use them stay as they are."""
    plain = DataDefinition(dataset="folder").model_dump()
    assert not {"bins", "window", "group"} & set(plain)
    used = DataDefinition(dataset="folder", bins="events", window="1 s", group="(a)").model_dump()
    assert (used["bins"], used["window"], used["group"]) == ("events", "1 s", "(a)")


def test_square_sizes_have_one_form() -> None:
    assert DataDefinition(dataset="folder", size=(32, 32)) == DataDefinition(dataset="folder")
    assert DataDefinition(dataset="folder", size=[24, 32]).size == (24, 32)


@pytest.mark.parametrize("size", [(7, 32), (32, 1025), 4, (32, 32, 32)])
def test_sizes_out_of_range_are_refused(size: object) -> None:
    with pytest.raises((DefinitionError, ValueError), match="size"):
        DataDefinition(dataset="folder", size=size)  # type: ignore[arg-type]


def test_bins_have_a_name() -> None:
    with pytest.raises(UnknownName, match="events"):
        DataDefinition(dataset="folder", bins="event")


@pytest.mark.parametrize("key", [{"window": "1 s"}, {"group": "(a)"}])
def test_what_cuts_recordings_does_not_apply_to_simulated_ones(key: dict[str, str]) -> None:
    with pytest.raises(DefinitionError, match="does not apply to simulated-gestures"):
        DataSpec("simulated-gestures", 4, 32, **key)
