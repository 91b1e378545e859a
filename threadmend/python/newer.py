"""Syntax that is newer than the Python that runs this: covered, so that `ast` reads the rest.

Byte for byte, every place stays where it is. Covered are type parameters and `type` statements
(3.12), the same quotes inside of an f-string (3.12), `except A, B:` and t-strings (3.14), unpacking
in comprehensions and lazy imports (3.15).
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["covered", "parsed", "parsed_covered"]

_TOKEN = re.compile(
    rb"(?P<comment>#[^\r\n]*)"
    rb"|(?P<string>(?<![\w\x80-\xff])(?P<prefix>[bBrRuUfFtT]{0,2})(?P<quote>\"\"\"|'''|\"|'))"
    rb"|(?P<name>[A-Za-z_\x80-\xff][\w\x80-\xff]*)|(?P<number>\d[\w.]*)"
    rb"|(?P<continued>\\\r?\n)|(?P<line>\r?\n)|(?P<open>[(\[{])|(?P<close>[)\]}])"
    rb"|(?P<space>[ \t\f]+)|(?P<other>.)"
)
_ALIAS = "type_"


@dataclass(slots=True)
class _Token:
    kind: str
    start: int
    end: int
    text: bytes
    first: bool
    """Whether it begins a statement."""
    depth: int
    """How many brackets are open before it."""


@dataclass(slots=True)
class _Open:
    """An open bracket: the asterisks right behind it, and whether a `for` is in it."""

    stars: tuple[int, int] | None = None
    loops: bool = False


@dataclass(slots=True)
class _Text:
    """The bytes, those that cover them, and the tokens outside of strings and comments."""

    data: bytes
    new: bytearray
    tokens: list[_Token] = field(default_factory=list)


def covered(data: bytes) -> bytes | None:
    """Return a text as long as the given one, in which older syntax stands for newer; None when
    there is none to cover, or no end to a string.
    """
    text = _Text(data, bytearray(data))
    try:
        _read(text, 0, len(data), nested=False)
    except _EndlessError:
        return None
    for number, token in enumerate(text.tokens):
        if token.kind == "name" and token.text in _COVERS:
            _COVERS[token.text](text, number)
    new = bytes(text.new)
    return None if new == data else new


def parsed(data: bytes) -> ast.Module:
    """Return the module that a text is, newer syntax included.

    Raises what `ast.parse` does; a SyntaxError names the place of the text as it stands.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(data)
        except SyntaxError:
            module = parsed_covered(data)
            if module is None:
                raise
            return module


def parsed_covered(data: bytes) -> ast.Module | None:
    """Return the module that a text is whose newer syntax is covered; None when there is none,
    or the rest does not parse.
    """
    older = covered(data)
    if older is None:
        return None
    try:
        module = ast.parse(older)
    except SyntaxError:
        return None
    _restore(module, data)
    return module


def _restore(module: ast.Module, data: bytes) -> None:
    """Make the nodes of a covered text what they stand for: tuples of exceptions, and the names
    of types.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.BinOp):
            elements = list(_alternatives(node.type))
            new = ast.Tuple(elts=elements, ctx=ast.Load())
            node.type = ast.copy_location(new, node.type)
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id.startswith(_ALIAS):
            _rename(target, data)


def _alternatives(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _alternatives(node.left)
        yield node.right
    else:
        yield node


def _rename(target: ast.Name, data: bytes) -> None:
    """Give the name of `type Name = …` back, where that is what stands there."""
    line = data.split(b"\n", target.lineno)[target.lineno - 1]
    found = _ALIASED.match(line, target.col_offset)
    if found is not None and target.id.endswith(found["name"].decode()):
        target.id = found["name"].decode()
        target.col_offset += found.start("name") - found.start()


_ALIASED = re.compile(rb"type[ \t]+(?P<name>[\w\x80-\xff]+)")


# -- reading --------------------------------------------------------------------------------


class _EndlessError(ValueError):
    """A string or an f-string's field has no end."""


def _read(text: _Text, at: int, end: int, *, nested: bool) -> int:
    """Note the tokens of a stretch; of a field of an f-string (`nested`), up to its end, which
    is returned.
    """
    opened: list[_Open] = []
    first, after_open = True, False
    while at < end:
        found = _TOKEN.match(text.data, at)
        assert found is not None  # any byte is a token, a line break included
        kind = found.lastgroup if found["string"] is None else "string"
        assert kind is not None
        if nested and not opened and found[0] in {b"}", b":"}:
            return at
        if kind == "string":
            at = _string(text, found, nested=nested)
        else:
            at = found.end()
        if kind in {"comment", "continued", "space"}:
            continue
        if kind == "line":
            first = first or not opened
            continue
        if kind == "open":
            opened.append(_Open())
        elif kind == "close" and opened:
            _close(text, opened.pop())
        elif after_open and found[0] == b"*":
            stars = b"**" if text.data.startswith(b"**", found.start()) else b"*"
            opened[-1].stars = (found.start(), found.start() + len(stars))
        elif opened and found[0] == b"for":
            opened[-1].loops = True
        text.tokens.append(
            _Token(kind, found.start(), at, text.data[found.start() : at], first, len(opened))
        )
        after_open = kind == "open"
        first = not opened and found[0] in {b";", b":"}
    if nested:
        raise _EndlessError
    return at


def _close(text: _Text, opened: _Open) -> None:
    """Cover the asterisks of `[*x for x in y]`."""
    if opened.loops and opened.stars is not None:
        start, end = opened.stars
        text.new[start:end] = b" " * (end - start)


def _string(text: _Text, found: re.Match[bytes], *, nested: bool) -> int:
    """Return where a string ends; one with fields may be covered on the way."""
    start, prefix, quote = found.start(), found["prefix"].lower(), found["quote"]
    at = found.end()
    if not {b"f", b"t"} & {prefix[i : i + 1] for i in range(len(prefix))}:
        return _end_of(text.data, at, quote)
    for place in range(start, start + len(prefix)):
        if text.data[place : place + 1] in {b"t", b"T"}:
            text.new[place : place + 1] = b"f"
    inner = _Text(text.data, text.new)
    data, clash = text.data, False
    while not data.startswith(quote, at):
        byte = data[at : at + 1]
        if not byte or (byte == b"\n" and len(quote) == 1):
            raise _EndlessError
        if byte == b"\\" or data.startswith((b"{{", b"}}"), at):
            at += 2
        elif byte == b"{":
            first = at
            at = _field(inner, at + 1)
            clash = clash or _clashes(data[first:at], quote)
        else:
            at += 1
    at += len(quote)
    if clash and not nested:
        _cover_fields(text, inner.tokens, start, at, quote)
    return at


def _end_of(data: bytes, at: int, quote: bytes) -> int:
    """Return where a string without fields ends."""
    pattern = _ENDS[quote]
    found = pattern.match(data, at)
    if found is None:
        raise _EndlessError
    return found.end()


_ENDS = {
    b'"': re.compile(rb'(?:[^"\\\n]|\\[\s\S])*"'),
    b"'": re.compile(rb"(?:[^'\\\n]|\\[\s\S])*'"),
    b'"""': re.compile(rb'(?:[^"\\]|\\[\s\S]|"(?!""))*"""'),
    b"'''": re.compile(rb"(?:[^'\\]|\\[\s\S]|'(?!''))*'''"),
}


def _field(text: _Text, at: int) -> int:
    """Return where a field of an f-string ends, behind its brace."""
    at = _read(text, at, len(text.data), nested=True)
    if text.data[at : at + 1] == b":":
        at += 1
        while text.data[at : at + 1] != b"}":
            if at >= len(text.data):
                raise _EndlessError
            at = _field(text, at + 1) if text.data[at : at + 1] == b"{" else at + 1
    return at + 1


def _clashes(inside: bytes, quote: bytes) -> bool:
    """Return whether a field holds what it could not before 3.12."""
    return (
        quote in inside
        or b"\\" in inside
        or b"#" in inside
        or (len(quote) == 1 and (b"\n" in inside or quote * 3 in inside))
    )


def _cover_fields(text: _Text, tokens: list[_Token], start: int, end: int, quote: bytes) -> None:
    """Cover the strings inside of an f-string; all of it, where that is not enough."""
    whole = text.data[start:end]
    names = [t for t in tokens if t.kind == "string"]
    trial = bytearray(whole)
    for token in names:
        trial[token.start - start : token.end - start] = b"_" * len(token.text)
    if b"t" in whole[:2].lower():
        trial[:2] = trial[:2].replace(b"t", b"f").replace(b"T", b"f")
    text.new[start:end] = trial if _parses(bytes(trial)) else _plain(whole)


def _plain(whole: bytes) -> bytes:
    """Return a string without fields that is as long, over as many lines; the same where there is
    no room for its quotes.
    """
    blank = re.sub(rb"[^\r\n]", b" ", whole)
    last = blank.rstrip(b" ")  # up to the last line break
    if not last or len(blank) - len(last) >= len(_QUOTES):
        return _QUOTES + blank[3:-3] + _QUOTES
    # The last line is too short to close it: it ends in the one before, which goes on.
    text = last.rstrip(b"\r\n")
    if len(text) - text.rfind(b"\n") <= len(_QUOTES) + 1 or len(text) <= 2 * len(_QUOTES):
        return whole
    return _QUOTES + text[3:-4] + _QUOTES + b"\\" + blank[len(text) :]


_QUOTES = b"'''"


def _parses(expression: bytes) -> bool:
    try:
        ast.parse(b"(" + expression + b")")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


# -- covering -------------------------------------------------------------------------------


def _cover_except(text: _Text, number: int) -> None:
    """`except A, B:` becomes `except A| B:`, which `_restore` turns into a tuple."""
    first = text.tokens[number]
    if not first.first:
        return
    for token in text.tokens[number + 1 :]:
        if token.depth == first.depth and token.text == b":":
            return
        if token.depth == first.depth and token.text == b",":
            text.new[token.start : token.end] = b"|"
        elif token.first or token.text == b"as":
            return


def _cover_parameters(text: _Text, number: int) -> None:
    """`def f[T](…)` becomes `def f   (…)`."""
    if number + 2 < len(text.tokens) and text.tokens[number + 2].text == b"[":
        _blank(text, number + 2)


def _cover_alias(text: _Text, number: int) -> None:
    """`type Name[T] = …` becomes `type_Name    = …`."""
    following = text.tokens[number + 1 : number + 3]
    kinds = [(t.kind, t.text) for t in following]
    if not text.tokens[number].first or len(kinds) < 2 or kinds[0][0] != "name":
        return
    if kinds[1][1] in {b"=", b"["}:
        start, end = text.tokens[number].end, following[0].start
        text.new[start:end] = b"_" * (end - start)
        if kinds[1][1] == b"[":
            _blank(text, number + 2)


def _cover_lazy(text: _Text, number: int) -> None:
    """`lazy import x` becomes `lazy;import x`."""
    token = text.tokens[number]
    following = text.tokens[number + 1 : number + 2]
    if token.first and following and following[0].text in {b"import", b"from"}:
        text.new[token.end : token.end + 1] = b";"


_COVERS = {
    b"except": _cover_except,
    b"def": _cover_parameters,
    b"class": _cover_parameters,
    b"type": _cover_alias,
    b"lazy": _cover_lazy,
}


def _blank(text: _Text, number: int) -> None:
    """Cover a bracket with what is in it; its lines are joined."""
    start, depth = text.tokens[number].start, text.tokens[number].depth
    for token in text.tokens[number + 1 :]:
        if token.kind == "close" and token.depth == depth - 1:
            blank = re.sub(rb"[^\r\n]", b" ", text.data[start : token.end])
            text.new[start : token.end] = re.sub(rb" (\r?\n)", rb"\\\1", blank)
            return
