"""A launch written as `g.Go(func() error { … })`."""

from __future__ import annotations

from collections.abc import Mapping

from threadmend.golang.access import uses_of
from threadmend.golang.builders import BuilderError, insert_at_end, insert_before
from threadmend.golang.builders.spacing import respaced
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding, bindings_in, identifiers
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Map, Pointer, Slice
from threadmend.model import Edit

from ._first_error import Exit
from ._group import Launched
from ._terminating import terminates

__all__ = ["launch_edits"]


def launch_edits(
    file: GoFile, one: Launched, exits: tuple[Exit, ...], name: str, renamed: Mapping[Binding, str]
) -> list[Edit]:
    """Return the edits of a launch and its literal.

    `renamed` says what variables around are called in the literal; "" for those that are gone.
    """
    statement, literal, parameters = one.statement, one.literal, one.literal["parameters"]
    edits = [
        Edit(file.path, statement.start, literal.start, f"{name}.Go(".encode()),
        Edit(file.path, parameters.start, parameters.end, b"() error"),
        Edit(file.path, literal.end, statement.end, b")"),
    ]
    given = dict(renamed)
    lines = _arguments(file, one, given)
    if lines:
        edits += insert_before(statement, "\n".join(lines))
    for binding, new in given.items():
        names = [binding, *(a for a, meant in one.aliases.items() if meant is binding)]
        for use in (u for b in names for u in b.uses if one.body.contains(u)):
            if new and use.name != new:
                edits.append(Edit(file.path, use.start, use.end, new.encode()))
    return [*edits, *_returns(file, one, exits)]


# -- the body ---------------------------------------------------------------------------------


def _returns(file: GoFile, one: Launched, exits: tuple[Exit, ...]) -> list[Edit]:
    edits: list[Edit] = []
    spans = []
    for end in exits:
        tree = end.first.tree
        spans.append((end.first.start, end.last.end))
        lead, rest = (end.first.start, end.value.start), (end.value.end, end.last.end)
        if tree.comments_in(*lead) or tree.comments_in(*rest):
            raise BuilderError("a comment would be lost")
        edits.append(Edit(file.path, *lead, b"return "))
        edits += [Edit(file.path, *rest, b"")] if rest[0] < rest[1] else []
    for node in one.body.find("return_statement"):
        if node.function is one.literal and not any(a <= node.start < b for a, b in spans):
            edits.append(Edit(file.path, node.start, node.end, b"return nil"))
    statements = [s for s in one.body.statements if s not in one.done]
    if not terminates(statements, {end.last for end in exits}):
        edits += _at_end(file, one, statements)
    return edits


def _at_end(file: GoFile, one: Launched, statements: list[Node]) -> tuple[Edit, ...]:
    body = one.body
    if b"\n" in body.text or not statements:
        return insert_at_end(body, "return nil")
    end = statements[-1].end
    return (Edit(file.path, end, end, b"; return nil"),)


# -- the arguments ----------------------------------------------------------------------------


def _arguments(file: GoFile, one: Launched, renamed: dict[Binding, str]) -> list[str]:
    """Return the lines that give the literal's parameters their values before the launch.

    Where the literal may as well use the variable that it is given, `renamed` gets it.
    """
    if one.call is None:
        return []
    arguments = one.call["arguments"].children
    named = [
        (name, declaration["type"])
        for declaration in one.literal["parameters"].children
        for name in declaration.all("name")
    ]
    if len(named) != len(arguments) or any(
        p.kind != "parameter_declaration" for p in one.literal["parameters"].children
    ):
        raise BuilderError("the parameters of the literal cannot be matched")
    lines: list[str] = []
    for (name, type_), argument in zip(named, arguments, strict=True):
        own = next((b for b in bindings_in(one.literal).get(name.name, ()) if b.node is name), None)
        meant = one.aliases.get(own) if own is not None else None
        if own is None or (meant is not None and meant in renamed):
            continue
        if meant is not None and _is_same(file, one, own, argument):
            renamed[meant] = meant.name
        else:
            _check_free(one, name, argument, lines)
            lines.append(_bound(file, name, type_, argument))
    return lines


def _bound(file: GoFile, name: Node, type_: Node, argument: Node) -> str:
    known, wanted = file.type_of(argument), file.type_from(type_)
    literal = argument.kind.endswith("_literal") and argument.kind != "composite_literal"
    value = _spaced(argument)
    if known is not None and known == wanted and not literal:
        return f"{name.name} := {value}"
    return f"var {name.name} {type_.name} = {value}"


def _spaced(argument: Node) -> str:
    """Return an argument as it is written alone: `m + 1` for the `m+1` of `f(x, m+1)`."""
    text, at = b"", argument.start
    for edit in sorted(respaced(argument, 1)):
        text += argument.tree.data[at : edit.start] + edit.new
        at = edit.end
    return (text + argument.tree.data[at : argument.end]).decode()


def _is_same(file: GoFile, one: Launched, own: Binding, argument: Node) -> bool:
    """Return whether the literal may as well use the variable that it is given."""
    meant = file.binding(argument)
    if meant is None or argument.name != meant.name or _changes(file, own):
        return False
    if any(file.binding(node) not in {own, meant} for node in identifiers(one.body, meant.name)):
        return False
    if meant.kind != "range":
        return not _changes(file, meant)
    declared = meant.declaration
    clause = declared if declared.kind == "range_clause" else declared.parent
    inside = clause is not None and all(clause.contains(node) for node in _changes(file, meant))
    return inside and file.go_version >= (1, 22)


def _changes(file: GoFile, binding: Binding) -> list[Node]:
    """Return where a variable may change, or what it holds when it is no reference."""
    kinds = {"write", "update", "address"}
    if not isinstance(file.underlying(file.type_of(binding.node)), Pointer | Slice | Map):
        kinds.add("store")
    return [use.node for use in uses_of(binding) if use.kind in kinds]


def _check_free(one: Launched, name: Node, argument: Node, lines: list[str]) -> None:
    """Raise BuilderError where a variable of that name would mean something else around."""
    block = one.statement.parent
    assert block is not None
    scopes = [block, *(p for p in (block.parent,) if p is not None and p.kind in FUNCTIONS)]
    same = argument.name == name.name
    around = any(
        node.name == name.name
        and not one.statement.contains(node)
        and (node.start > one.statement.end or not same)
        for node in block.find("identifier")
    )
    if around or any(bindings_in(scope).get(name.name) for scope in scopes):
        raise BuilderError(f"{name.name} means something else around the launch")
    given = {line.removeprefix("var ").split(" ")[0] for line in lines}
    if any(node.name in given for node in argument.find("identifier")):
        raise BuilderError("an argument uses the name of another")
