"""The tree of a YAML text, every node with its place in bytes, so that edits leave the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Node", "parse"]


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping, sequence or scalar; `start` and `end` are bytes of the text."""

    kind: str
    """`map`, `list` or `scalar`."""
    start: int
    end: int
    value: str = ""
    """What a scalar says, as text: quotes, folding and indentation undone."""
    style: str = ""
    """Of scalars the quote or `|` or `>`; of collections `{` where they are written in one line."""
    pairs: tuple[tuple[Node, Node], ...] = ()
    items: tuple[Node, ...] = field(default=())

    def get(self, *keys: str) -> Node | None:
        """Return what stands under a path of keys."""
        node: Node | None = self
        for key in keys:
            if node is None:
                return None
            node = next((value for name, value in node.pairs if name.value == key), None)
        return node

    def key(self, name: str) -> Node | None:
        """Return the node of a key itself."""
        return next((key for key, _ in self.pairs if key.value == name), None)

    def entries(self) -> dict[str, Node]:
        """Return the values of a mapping by their keys."""
        return {key.value: value for key, value in self.pairs}

    def scalars(self) -> Iterator[Node]:
        """Yield every scalar below, keys left out."""
        if self.kind == "scalar":
            yield self
        for item in (*self.items, *(value for _, value in self.pairs)):
            yield from item.scalars()


def parse(data: bytes) -> Node | None:
    """Return the tree of a text with one document; None when it is not YAML.

    None as well when an alias stands for a collection: its text belongs to several places.
    """
    import yaml

    try:
        text = data.decode("utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if root is None:
        return None
    return _converted(root, _offsets(text), set())


class _Ascii:
    def __getitem__(self, index: int) -> int:
        return index


def _offsets(text: str) -> list[int] | _Ascii:
    """Return the byte at which each character begins."""
    if text.isascii():
        return _Ascii()
    at = 0
    starts = []
    for character in text:
        starts.append(at)
        at += len(character.encode())
    starts.append(at)
    return starts


def _converted(node: object, offsets: list[int] | _Ascii, seen: set[int]) -> Node | None:
    import yaml

    assert isinstance(node, yaml.Node)
    if id(node) in seen and not isinstance(node, yaml.ScalarNode):
        return None
    seen.add(id(node))
    start, end = offsets[node.start_mark.index], offsets[node.end_mark.index]
    if isinstance(node, yaml.ScalarNode):
        return Node("scalar", start, end, node.value, node.style or "")
    style = "{" if node.flow_style else ""
    if isinstance(node, yaml.SequenceNode):
        items = [_converted(item, offsets, seen) for item in node.value]
        if any(item is None for item in items):
            return None
        return Node("list", start, end, style=style, items=tuple(i for i in items if i))
    pairs = []
    for key, value in node.value:
        left, right = _converted(key, offsets, seen), _converted(value, offsets, seen)
        if left is None or right is None:
            return None
        pairs.append((left, right))
    return Node("map", start, end, style=style, pairs=tuple(pairs))
