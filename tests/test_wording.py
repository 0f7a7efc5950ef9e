"""Reasons and other texts that somebody else wrote."""

from __future__ import annotations

from hqsearch.wording import HEAD, TAIL, described, printable, reason, storable


def test_what_moves_a_cursor_or_is_no_character_is_written_out() -> None:
    assert printable("\x1b[2J\x00\r\u202e\ud800 ä 漢 \U0001f600\n\tend") == (
        "\\x1b[2J\\x00\\r\\u202e\\ud800 ä 漢 \U0001f600\n\tend"
    )


def test_a_long_reason_is_cut_once() -> None:
    text = "start " + "x" * 3_000_000 + " end"
    cut = reason(text)
    assert cut.startswith("start xxx")
    assert cut.endswith("xxx end")
    assert f" … {len(text) - HEAD - TAIL} characters … " in cut
    assert reason(cut) == cut
    assert reason("\x1b" * 3_000_000).isprintable()
    assert reason(reason("\x1b" * 3_000_000)).isprintable()
    assert reason("x" * (HEAD + TAIL)) == "x" * (HEAD + TAIL)


def test_an_exception_without_words_is_named() -> None:
    assert described(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert described(ValueError("a\ud800")) == "ValueError: a\\ud800"
    assert described(KeyError("")) == "KeyError: ''"


def test_json_values_become_utf_8() -> None:
    assert storable({"a\udfff": ["\ud800", 1, None, {"b": "ok"}]}) == {
        "a\\udfff": ["\\ud800", 1, None, {"b": "ok"}]
    }
