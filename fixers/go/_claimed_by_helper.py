"""One method says whether a key is taken, another one takes it: in between somebody else may.

if !r.vacant(plot) {                  if !r.vacant(plot) {
    return ErrTaken                       return ErrTaken
}                                     }
r.assign(plot, who)            →      if !r.assign(plot, who) {
                                          return ErrTaken
                                      }

The method that takes the key looks again, and says whether it was free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    replace,
    taken_names,
    with_reason,
)
from threadmend.golang.calls import Site, known_of_all
from threadmend.golang.families import family
from threadmend.golang.file import GoFile
from threadmend.golang.guards import guarded_places
from threadmend.golang.locks import held_at, locks_of
from threadmend.golang.package import Package
from threadmend.golang.scope import argument_of
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._claim_helpers import Claim, Question, claim_of, question_of
from ._claim_sections import claims_in_sections, looks_again_in_section
from ._refused_again import refuses
from ._store_helpers import has_close

__all__ = ["claimed_by_helper"]


@dataclass(frozen=True, slots=True)
class _Use:
    """A function that asks whether a key is taken, refuses, and takes it otherwise."""

    file: GoFile
    call: Node
    asked: Node
    refusal: Node
    question: Question


def claimed_by_helper(package: Package) -> Iterator[Finding]:
    """Yield the calls that take a key which others may have taken since it was asked for."""
    for accesses in guarded_places(package).values():
        questions = [q for a in accesses if (q := question_of(a)) is not None]
        if not questions:
            continue
        for access in accesses:
            claim = claim_of(access, accesses)
            if claim is None:
                continue
            known = known_of_all(claim.decl, partial(_use, claim=claim, questions=questions))
            if known:
                yield _finding(claim, known)
    for claim, asked in claims_in_sections(package):
        known = known_of_all(claim.decl, partial(_use, claim=claim, questions=asked))
        if known:
            yield _finding(claim, known)


# -- find -----------------------------------------------------------------------------


def _use(site: Site, claim: Claim, questions: list[Question]) -> _Use | None:
    call, function = site.call, site.node.function
    if call is None or function is None or site.file.is_test or site.launched or site.deferred:
        return None
    if call["function"].kind != "selector_expression" or function.get("body") is None:
        return None
    if held_at(site.file, call) or locks_of(site.file, function).operations:
        return None
    key = _key(site.file, call, claim)
    for asks in function["body"].statements if key else ():
        if asks.end > call.start:
            break
        for question in questions:
            asked = _refused(site.file, function, asks, question)
            if asked is None or asked["function"]["operand"].text != _owner(call):
                continue
            given = argument_of(asked, question.decl.node, question.key)
            if given is None or given.text != key or not _is_kept(site.file, given):
                continue
            if not _acts_between(site.file, function, asks, call):
                refusal = asks["consequence"].statements[0]
                return _Use(site.file, call, asked, refusal, question)
    return None


def _owner(call: Node) -> bytes:
    return call["function"]["operand"].text


def _key(file: GoFile, call: Node, claim: Claim) -> bytes:
    """Return the key that a call takes, as the caller writes it."""
    given = argument_of(call, claim.decl.node, claim.parameter)
    if given is None or not claim.field:
        return given.text if given is not None else b""
    made = given
    binding = file.binding(given) if given.kind == "identifier" else None
    if binding is not None and is_assigned_once(binding) and binding.value is not None:
        if any(u.kind == "store" for u in uses_of(binding)):
            return b""
        made = binding.value
    if made.kind == "unary_expression":
        made = made["operand"]
    if made.kind == "composite_literal":
        for element in made["body"].children:
            if element.kind == "keyed_element" and element["key"].name == claim.field:
                return element["value"].text
        return b""
    return given.text + b"." + claim.field.encode()


def _is_kept(file: GoFile, key: Node) -> bool:
    """Return whether a key means the same all through the function."""
    bindings = [file.binding(n) for n in key.find("identifier")]
    simple = all(n.kind != "call_expression" for n in key.walk())
    return simple and all(b is None or is_assigned_once(b) for b in bindings)


def _refused(file: GoFile, function: Node, asks: Node, question: Question) -> Node | None:
    """Return the call by which an `if` that returns an error asks whether the key is taken."""
    if asks.kind != "if_statement" or asks.get("alternative") is not None:
        return None
    inside = asks["consequence"].statements
    if len(inside) != 1 or not refuses(file, function, inside[0]):
        return None
    condition = asks["condition"]
    negated = condition.kind == "unary_expression" and condition["operator"].kind == "!"
    test = condition["operand"] if negated else condition
    call: Node | None = test
    if test.kind == "identifier":
        look = asks.get("initializer") or asks.previous
        if look is None or look.kind != "short_var_declaration":
            return None
        left, right = look["left"].children, look["right"].children
        if len(right) != 1 or question.position >= len(left):
            return None
        if left[question.position].text != test.text:
            return None
        call = right[0]
    if call is None or call.kind != "call_expression" or negated is not question.negated:
        return None
    decl = file.callee(call)
    found = decl is not None and decl.key == question.decl.key
    return call if found and call["function"].kind == "selector_expression" else None


def _acts_between(file: GoFile, function: Node, asks: Node, call: Node) -> bool:
    """Return whether a method of the owner is called before the key is taken."""
    return any(
        node.kind == "call_expression"
        and node["function"].kind == "selector_expression"
        and node["function"]["operand"].text == _owner(call)
        and not _is_kept_function(file, node["function"])
        for node in function.own()
        if asks.end <= node.start < call.start
    )


def _is_kept_function(file: GoFile, selector: Node) -> bool:
    """Return whether what is called is a function in a field, and no method of the owner."""
    selection = file.selection(selector)
    return selection is not None and selection.kind == "field"


# -- say ------------------------------------------------------------------------------


def _finding(claim: Claim, uses: list[_Use]) -> Finding:
    use = uses[0]
    fix, reason = _fix(claim, uses)
    store = claim.store
    return Finding(
        path=use.file.path,
        start=use.call.start,
        end=use.call.end,
        message=f"{use.call['function'].name} takes what others may have taken since"
        f" {use.asked['function'].name} was asked: the lock was released in between",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(use.file.path, use.asked.start, use.asked.end, "asked here"),
            Related(store.path, store.start, store.end, "stored here"),
        ),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(claim: Claim, uses: list[_Use]) -> Fix:
    if claim.store.function is claim.decl.node:
        again = _looks_again(claim, uses[0].question)
    else:
        again = looks_again_in_section(claim)
    edits = (*again, *(e for u in uses for e in _refuses(u)))
    title = f"Look again before {claim.access.node.name} is written"
    return Fix(title, edits, Safety.UNSAFE, "who comes second is refused")


def _looks_again(claim: Claim, question: Question) -> Iterator[Edit]:
    """Return false from the method where the key is taken, and true behind the store."""
    function, store = claim.decl.node, claim.store
    if len(family(claim.decl).signatures) != 1:
        raise BuilderError(f"{claim.decl.name} belongs to an interface")
    element = store["left"].children[0].name
    name = free_name("taken", taken_names(function))
    test = f"_, {name} := {element}; {name}"
    if question.empty:
        test = f"{element} != {question.empty}"
    lines = ["\treturn false"]
    operations = locks_of(claim.decl.file, function).operations
    releases = [o for o in operations if o.releases]
    if not releases or len(operations) != 2:
        raise BuilderError("the lock is taken in several places")
    if releases[0].deferred is None:
        lines.insert(0, f"\t{releases[0].call.name}")
    yield from insert_before(store, "\n".join([f"if {test} {{", *lines, "}"]))
    yield from insert_after(function["body"].statements[-1], "return true")
    end = function["parameters"].end
    yield Edit(function.path, end, end, b" bool")


def _refuses(use: _Use) -> Iterator[Edit]:
    """Refuse at the call as the first look did."""
    file, call, refusal = use.file, use.call, use.refusal
    statement, function = call.parent, call.function
    if statement is None or statement.kind != "expression_statement" or function is None:
        raise BuilderError("the call is a part of a larger statement")
    asks = refusal.parent.parent if refusal.parent is not None else None
    if asks is None or statement.parent is not asks.parent:
        raise BuilderError("the key is taken in a branch or loop of its own")
    for name in refusal.find("identifier"):
        binding = file.binding(name)
        if binding is not None and (asks.contains(binding.node) or not is_assigned_once(binding)):
            raise BuilderError(f"{binding.name} means something else by then")
    for value in _made(function, asks, statement):
        if has_close(file, value):
            raise BuilderError("what was made meanwhile would have to be closed")
    yield from replace(statement, f"if !{call.name} {{\n\t{refusal.name}\n}}")


def _made(function: Node, asks: Node, statement: Node) -> Iterator[Node]:
    for node in function.own():
        if node.kind == "short_var_declaration" and asks.end <= node.start < statement.start:
            yield from node["left"].children
