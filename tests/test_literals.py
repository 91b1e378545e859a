"""The plain text that an expression asks for: never more than a match holds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threadmend.gate import Gates
from threadmend.literals import alternatives, branches, holds, is_plain, pieces, plain, quick
from threadmend.model import Rule, Subject
from threadmend.python.api import PREFILTER, speaks_of_concurrency


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (rb"\.R?Lock\(\)", {b".Lock()", b".RLock()"}),
        (rb"\bWaitGroup\b", {b"WaitGroup"}),
        (rb"go func|\.Go\(", {b"go func", b".Go("}),
        (rb"\bgo\s+func", {b"func"}),
        (rb"(?:ab)+c?", {b"ab"}),
        (rb"With(?:Cancel|Timeout)(?:Cause)?\(", None),
        (rb"x?y*", set()),
        (rb"(?i)lock", set()),
        (rb"(?x) go  func # a space is none", {b"gofunc"}),
        (rb"[a-c]{3}", set()),
        (rb"[ab]c", {b"ac", b"bc"}),
        (rb"(?!nope)yes", {b"yes"}),
        (rb"(one|two)three", {b"onethree", b"twothree"}),
    ],
)
def test_pieces_of_which_every_match_holds_one(pattern: bytes, expected: set[bytes] | None) -> None:
    if expected is None:
        expected = {b"WithCancel(", b"WithTimeout(", b"WithCancelCause(", b"WithTimeoutCause("}
    assert {piece.text for piece in pieces(re.compile(pattern))} == expected


def test_alternatives_ask_for_all_of_their_sets() -> None:
    found = alternatives(re.compile(rb"\bgo\s+func\(|\bmake\(\s*chan\b|\.Go\(.*x"))
    assert found[0] == ({b"\0go\0"}, {b"\0func("})
    assert found[1:] == (({b"\0make("}, {b"chan\0"}), ({b".Go("}, {b"x"}))


_PART = st.recursive(
    st.sampled_from(["a", "b", "ab", "[ab]", "[a-c]", ".", r"\b", r"\s+", r"\s*", "(?!a)", "^"]),
    lambda part: st.one_of(
        st.lists(part, min_size=1, max_size=3).map("".join),
        st.lists(part, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        part.map(lambda one: f"(?:{one})?"),
        part.map(lambda one: f"({one})+"),
        part.map(lambda one: f"(?:{one}){{2,3}}"),
    ),
    max_leaves=8,
).map(lambda part: part if len(re.findall(r"\)[?+{]|\\s[*+]", part)) <= 2 else "a")
"""Parts of patterns. Repetitions of repetitions of repetitions keep `re` busy for ever."""


@settings(deadline=None)
@given(
    st.lists(_PART, min_size=1, max_size=3).map("|".join),
    st.text("abc \n", max_size=8).map(str.encode),
)
def test_what_matches_holds_the_pieces(pattern: str, text: bytes) -> None:
    expression = re.compile(pattern.encode())
    asked = alternatives(expression)
    if asked and expression.search(text):
        assert any(
            all(any(plain(piece) in text for piece in one) for one in sets) for sets in asked
        )
        assert any(piece.find(text) >= 0 for piece in pieces(expression))


@settings(deadline=None)
@given(
    st.lists(_PART, min_size=1, max_size=3).map("|".join),
    st.text("abc \n.", max_size=8).map(str.encode),
    st.integers(0, 3),
)
def test_plain_patterns_need_no_search(pattern: str, text: bytes, start: int) -> None:
    expression = re.compile(pattern.encode())
    if is_plain(expression):
        held = any(piece.find(text, start) >= 0 for piece in pieces(expression))
        assert held == (expression.search(text, start) is not None)


@pytest.mark.parametrize(
    ("pattern", "plainly"),
    [
        (rb"\bgo\b|<-", True),
        (rb"\.R?Lock\(\)", True),
        (rb"\b(?:Lock|RLock)\b", True),
        (rb"\b\.", False),
        (rb"^go", False),
        (rb"go\s", False),
        (rb"(?<!x)go", False),
        (rb"a\bb", False),
    ],
)
def test_which_patterns_are_plain(pattern: bytes, plainly: bool) -> None:
    assert is_plain(re.compile(pattern)) is plainly


@pytest.mark.parametrize(
    ("gate", "text", "asked"),
    [
        (None, b"", True),
        (rb"\bgo\b", b"category", False),
        (rb"\bgo\b", b"go f()", True),
        (rb"\bgo\b", b"f(); go", True),
        (rb"\bgo[(]", b"ergo(", False),
        (rb"x?\b(?:go|\.)\b|y", b"ergo .go", True),
        (rb"\b\.\b", b"a.b", True),
        (rb"\.Lock\(\)", b"x.Unlock()", False),
        (rb"\bLock\b|\bdone\b", b"mu.Lock()", True),
        (rb"x?", b"", True),
    ],
)
def test_a_rule_is_asked_where_its_gate_may_match(
    gate: bytes | None, text: bytes, asked: bool
) -> None:
    pattern = None if gate is None else re.compile(gate)
    rule = Rule("go/x", "X.", lambda subject: (), Subject.GO_FILE, "mutex", pattern)
    gates = Gates([rule])
    texts = [gates.text(b"nothing"), gates.text(text)]
    assert gates.admitted([rule], texts) == ([rule] if asked else [])


@settings(deadline=None)
@given(
    st.sets(st.text("ab.(é ", min_size=1, max_size=3).map(str.encode), max_size=5),
    st.text("ab.(é ", max_size=12).map(str.encode),
)
def test_the_pieces_of_a_text_are_those_in_it(asked: set[bytes], text: bytes) -> None:
    gates = Gates(
        Rule(f"go/r{number}", "X.", lambda subject: (), Subject.GO_FILE, "mutex", re.compile(gate))
        for number, gate in enumerate(map(re.escape, sorted(asked)))
    )
    assert gates.text(text).pieces == {piece for piece in asked if piece in text}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", r"\b", r"(?:\b"]), _PART), min_size=1, max_size=3),
    st.text("abc \n|", max_size=8).map(str.encode),
    st.integers(0, 3),
)
def test_a_quick_pattern_matches_the_same(
    parts: list[tuple[str, str]], text: bytes, start: int
) -> None:
    written = "|".join(begin + part + ")" * (begin == r"(?:\b") for begin, part in parts)
    expression = re.compile(written.encode())
    found = quick(expression).finditer(text, start)
    assert [hit.span() for hit in found] == [h.span() for h in expression.finditer(text, start)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (rb"\bgo\s|\.Go\(", rb"go(?<!\wgo)\s|\.Go\("),
        (rb"(?:\bgo\s|x)y", rb"(?:go(?<!\wgo)\s|x)y"),
        (rb"\bgoto?", rb"\bgoto?"),
        (rb"[a|\b]go", rb"[a|\b]go"),
        (rb"a\|\bgo", rb"a\|\bgo"),
    ],
)
def test_what_a_quick_pattern_looks_like(pattern: bytes, expected: bytes) -> None:
    assert quick(re.compile(pattern)).pattern == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", r"\b", "[|]", "[^])]", r"\|"]), _PART), max_size=4),
    st.text("abc \n|", max_size=8).map(str.encode),
)
def test_a_text_holds_what_one_of_the_branches_matches(
    parts: list[tuple[str, str]], text: bytes
) -> None:
    expression = re.compile("|".join(begin + part for begin, part in parts).encode())
    assert holds(text, expression) == (expression.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (rb"a|b", [rb"a", rb"b"]),
        (rb"(?m)^a|(?:b|c)d", [rb"^a", rb"(?:b|c)d"]),
        (rb"[^]|]a|[|\]]|\|(?:x)", [rb"[^]|]a", rb"[|\]]", rb"\|(?:x)"]),
        (rb"(?x) a | b", [rb"(?x) a | b"]),
    ],
)
def test_the_branches_of_a_pattern(pattern: bytes, expected: list[bytes]) -> None:
    whole = re.compile(pattern)
    assert [branch.pattern for branch in branches(whole)] == expected
    assert all(branch.flags == whole.flags for branch in branches(whole))


_SPOKEN = (
    b"import threading", b"from queue import Queue", b"_thread.start()", b"async  def f",
    b"with a:", b"with a, b:", b"with open(a):", b"withal a:", b"the block", b"clocks",
    b"self._lock", b"unlock", b"schedule", b"sched.x", b"import http.server", b"httpxserver",
    b"signals", b"Lock()", b"mutex_", b"asyncio.run", b"ThreadPool(2)", b"x.acquire()",
    b"lifeguard", b"guarded", b"thread", b"threads",
)  # fmt: skip


@pytest.mark.parametrize("data", _SPOKEN)
def test_stems_leave_out_nothing_of_the_prefilter(data: bytes) -> None:
    assert speaks_of_concurrency(data) == (PREFILTER.search(data) is not None)
