"""Composing edits: untouched bytes stay, and their places can be told both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from threadmend.compose import Claims, apply_edits, by_path, shift, unshift
from threadmend.model import Edit


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, list[Edit]]:
    """Draw a text and edits of it that do not touch each other."""
    data = draw(st.binary(max_size=60))
    claims = Claims()
    kept: list[Edit] = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, len(data)))
        edit = Edit("a", start, end, draw(st.binary(max_size=8)))
        if claims.conflict([edit]) is None:
            claims.take([edit], "go/x")
            kept.append(edit)
    return data, by_path(kept).get("a", [])


@given(edited())
def test_untouched_bytes_stay_and_are_found_again(drawn: tuple[bytes, list[Edit]]) -> None:
    data, edits = drawn
    new = apply_edits(data, edits)
    assert len(new) == len(data) + sum(len(e.new) - (e.end - e.start) for e in edits)
    for offset, byte in enumerate(data):
        if not any(edit.start <= offset < edit.end for edit in edits):
            moved = shift({"a": edits}, "a", offset)
            assert new[moved] == byte
            assert unshift({"a": edits}, "a", moved) == offset


@given(edited())
def test_every_place_of_the_new_text_has_one_in_the_old(drawn: tuple[bytes, list[Edit]]) -> None:
    data, edits = drawn
    for offset in range(len(apply_edits(data, edits)) + 1):
        assert 0 <= unshift({"a": edits}, "a", offset) <= len(data)
    for offset in range(len(data) + 1):
        assert 0 <= shift({"a": edits}, "a", offset) <= len(apply_edits(data, edits))


def test_what_touches_and_what_does_not() -> None:
    taken = Claims()
    taken.take([Edit("a", 10, 20, b"x"), Edit("a", 30, 30, b"y")], "go/first")
    assert taken.conflict([Edit("a", 19, 25, b"")]) == "go/first"
    assert taken.conflict([Edit("a", 20, 25, b"")]) is None
    assert taken.conflict([Edit("a", 20, 20, b"z")]) == "go/first"
    assert taken.conflict([Edit("a", 10, 10, b"z")]) == "go/first"
    assert taken.conflict([Edit("a", 30, 30, b"z")]) == "go/first"
    assert taken.conflict([Edit("a", 25, 30, b"z")]) == "go/first"
    assert taken.conflict([Edit("a", 30, 30, b"y")]) is None
    assert taken.conflict([Edit("a", 10, 20, b"x")]) is None
    assert taken.conflict([Edit("b", 10, 20, b"z")]) is None
