"""Sizes in words."""

from __future__ import annotations

from typing import Any

from hqsearch.show.disk import cleaning_text, disk_text

CLEANING: dict[str, Any] = {
    "study": "toy",
    "removed": False,
    "bytes": 2048,
    "items": [{"path": "parents/old", "bytes": 2048, "why": "not needed"}],
    "notes": ["parents/other cannot be read"],
    "disk": {"frames": 1024, "log": 512},
}


def test_use_by_kind() -> None:
    assert disk_text({"frames": 1024, "log": 512}) == "1.5 KiB (frames 1.0 KiB, log 512 bytes)"
    assert disk_text({}) == "0 bytes"


def test_what_can_be_removed_and_what_was() -> None:
    text = cleaning_text(CLEANING)
    assert "2.0 KiB can be removed" in text
    assert "parents/old: not needed" in text
    assert "--yes" in text
    assert "note: parents/other cannot be read" in text
    text = cleaning_text({**CLEANING, "removed": True})
    assert "2.0 KiB removed" in text
    assert "--yes" not in text
    assert "nothing to remove" in cleaning_text({**CLEANING, "items": []})
