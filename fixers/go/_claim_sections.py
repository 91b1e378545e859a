"""Methods that look up a key, or take one, in a literal that a helper runs under its lock.

    func (d *Desk) isSpent(code string) bool {      func (d *Desk) spend(code, who string) {
        var spent bool                                  d.state.With(func(s *state) {
        d.state.With(func(s *state) {                       s.spent[code] = who
            _, spent = s.spent[code]                        s.paid++
        })                                              })
        return spent                                }
    }

`With` locks, and calls what it gets with a pointer to what the lock guards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    taken_names,
)
from threadmend.golang.families import family
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.lock_runners import held_by_runner
from threadmend.golang.locks import locks_of
from threadmend.golang.package import Decl, Package
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map
from threadmend.model import Edit

from ._claim_helpers import Claim, Question

__all__ = ["claims_in_sections", "looks_again_in_section"]


@dataclass(frozen=True, slots=True)
class _Section:
    """A literal that runs under a lock, as a statement of a method, and what it is about.

    `place` names the object that has the lock and the map, apart from what the method calls them.
    """

    decl: Decl
    statement: Node
    literal: Node
    element: Node
    key: Binding
    place: tuple[str, str, str]


def claims_in_sections(package: Package) -> Iterator[tuple[Claim, list[Question]]]:
    """Yield the methods that take a key in such a section, with those that ask for it."""
    questions: list[tuple[_Section, Question]] = []
    claims: list[tuple[_Section, Claim]] = []
    for decl in package.functions():
        if decl.kind != "method" or not decl.sound or not decl.has_body or decl.file.is_test:
            continue
        start, end = decl.span
        if decl.file.data.find(b"func", start + len(b"func"), end) < 0:
            continue  # no literal
        section = _section_of(decl)
        if section is not None:
            questions += [(section, q) for q in _question(section)]
            claims += [(section, c) for c in _claim(section)]
    for section, claim in claims:
        known = [q for other, q in questions if other.place == section.place]
        if known:
            yield claim, known


def _section_of(decl: Decl) -> _Section | None:
    """Return the one section of a method that does nothing else of note, and its first key."""
    file, body = decl.file, decl.node["body"]
    calls = [n for n in body.own() if n.kind == "call_expression"]
    if len(calls) != 1 or locks_of(file, decl.node).operations:
        return None
    call, statement = calls[0], calls[0].parent
    given = call["arguments"].children
    if len(given) != 1 or given[0].kind != "func_literal" or statement is None:
        return None
    if statement.kind != "expression_statement" or statement.parent is not body:
        return None
    function, receiver = call["function"], _receiver(decl)
    if function.kind != "selector_expression" or receiver is None:
        return None
    owner = function["operand"].name
    if owner.partition(".")[0] != receiver or not held_by_runner(file, given[0]):
        return None
    found = _first_element(file, given[0])
    if found is None:
        return None
    element, key = found
    map_ = element["operand"]
    root = map_["operand"].name
    names = {n.name for p in given[0]["parameters"].children for n in p.all("name")}
    about = "*" if root in names else root.removeprefix(receiver)
    place = (decl.receiver, owner.removeprefix(receiver), f"{about}.{map_['field'].name}")
    return _Section(decl, statement, given[0], element, key, place)


def _receiver(decl: Decl) -> str | None:
    names = [n.name for p in decl.node["receiver"].children for n in p.all("name")]
    return names[0] if len(names) == 1 else None


def _first_element(file: GoFile, literal: Node) -> tuple[Node, Binding] | None:
    """Return `s.m[key]` of the first statement of a literal, and the parameter that the key is."""
    statements = literal["body"].statements
    for node in statements[0].walk() if statements else ():
        if node.kind == "index_expression" and node["operand"].kind == "selector_expression":
            binding = file.binding(node["index"]) if node["index"].kind == "identifier" else None
            if binding is None or binding.kind != "parameter" or binding.scope is literal:
                return None
            under = file.underlying(file.type_of(node["operand"]))
            return (node, binding) if isinstance(under, Map) else None
    return None


def _question(section: _Section) -> Iterator[Question]:
    """Yield the method whose section notes whether the key is there, which it returns."""
    inside, last = section.literal["body"].statements, section.decl.node["body"].statements[-1]
    look = inside[0]
    if len(inside) != 1 or look.kind != "assignment_statement":
        return
    noted = look["left"].children
    if look["right"].children != [section.element] or len(noted) != 2:
        return
    if last.kind != "return_statement" or len(last.children) < 2:
        return
    values = last.children[1].children
    if len(values) == 1 and values[0].text == noted[1].text:
        access = FieldAccess.at(section.decl.file, section.element["operand"])
        yield Question(section.decl, access, section.key, 0, False, "")


def _claim(section: _Section) -> Iterator[Claim]:
    """Yield the method whose section stores under the key before anything else."""
    decl, store = section.decl, section.literal["body"].statements[0]
    if store.kind != "assignment_statement" or store["operator"].kind != "=":
        return
    if store["left"].children != [section.element] or decl.exported:
        return
    if decl.node.get("result") is not None or decl.node["body"].statements != [section.statement]:
        return
    if any(n.kind == "return_statement" for n in section.literal.own()):
        return
    access = FieldAccess.at(decl.file, section.element["operand"])
    yield Claim(decl, access, section.key, "", store)


def looks_again_in_section(claim: Claim) -> Iterator[Edit]:
    """Let the section leave where the key is taken, and the method say whether it was free."""
    function, store = claim.decl.node, claim.store
    literal, section = store.function, _section_of(claim.decl)
    if section is None or literal is None:
        raise BuilderError("the key is taken elsewhere")
    if len(family(claim.decl).signatures) != 1:
        raise BuilderError(f"{claim.decl.name} belongs to an interface")
    if b"\n" not in literal["body"].text:
        raise BuilderError("the section stands on one line")
    names = set(taken_names(function))
    taken, stored = free_name("taken", names), free_name("stored", names)
    test = f"if _, {taken} := {section.element.name}; {taken} {{\n\treturn\n}}"
    yield from insert_before(section.statement, f"{stored} := false")
    yield from insert_before(store, test)
    yield from insert_after(literal["body"].statements[-1], f"{stored} = true")
    yield from insert_after(section.statement, f"return {stored}")
    end = function["parameters"].end
    yield Edit(function.path, end, end, b" bool")
