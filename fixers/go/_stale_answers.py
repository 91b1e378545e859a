"""Whether it shows that a change was decided by an answer that is out of date."""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Pointer, Slice

from ._decided_steps import Decided
from ._refused_again import refuses
from ._taken_when import passes_on, says_taken

__all__ = ["is_claim", "is_made_anew", "matters", "passes_limit", "works"]

_COUNTS = frozenset({"update", "append"})
_LITERALS = frozenset(
    {"true", "false", "nil", "int_literal", "interpreted_string_literal", "raw_string_literal"}
)
_SAYS = re.compile(r"(?i)(?:^|\.)\w*(?:log|logger|print|debug|info|warn|trace|error)\w*(?:\.\w+)?$")
_REPLIES = re.compile(
    r"^http\.(?:Error|Redirect|NotFound)$|(?i:\.(?:JSON|AbortWith\w*|WriteHeader))$"
)


def matters(found: Decided) -> bool:
    """Return whether two that get the same answer do what only one of them may do."""
    change = found.change
    if change.key is not None and change.key in found.names:
        return change.kind == "store" and _looks_for_free(found)
    if found.test is None:
        return True  # a number that goes back with what others did to it lost
    if change.kind in _COUNTS:
        return _passes_bound(found) or (change.kind == "append" and _is_second(found))
    if change.kind == "store" and change.key is not None and found.look.key is None:
        return found.is_bound and _refuses(found)
    if change.kind == "store":
        return _overwrites(found)
    if change.kind == "shrink":
        return found.operator in {"", ">", "<", "==", "!="}
    if change.kind == "delete":
        return _forgets(found)
    return False


def _looks_for_free(found: Decided) -> bool:
    """Return whether the method that is asked returns the first element that nobody has taken.

    `for i, o := range l.slots { if o == "" { return i } }`
    """
    decl = found.look.decl
    for test in decl.node.own() if decl is not None else ():
        if test.kind != "if_statement" or test.up("for_statement") is None:
            continue
        if not any(s.kind == "return_statement" for s in test["consequence"].statements):
            continue
        condition = test["condition"]
        if condition.kind == "unary_expression" and condition["operator"].kind == "!":
            return True
        if condition.kind == "binary_expression" and condition["operator"].kind == "==":
            return decl is not None and _is_constant(decl.file, condition["right"])
    return False


def _passes_bound(found: Decided) -> bool:
    """Return whether a count that was below its limit goes past it: `if n >= max { return }`."""
    if found.is_bound or _compares(found):
        return True
    return found.operator == "==" and found.refusal is not None and _is_zero(found.other)


def passes_limit(found: Decided) -> bool:
    """Return whether who comes second is refused at a limit, that he passes all the same."""
    change = found.change
    if change.kind == "store" and (change.key is None or found.look.key is not None):
        return False
    return change.kind in {*_COUNTS, "store"} and _passes_bound(found) and _refuses(found)


def _is_second(found: Decided) -> bool:
    """Return whether a list is searched for what it is to have once."""
    decl, test = found.look.decl, found.test
    if not _refuses(found) or decl is None or test is None:
        return False
    if isinstance(found.look.file.underlying(found.look.file.type_of(found.look.at)), Slice):
        return found.operator == "==" or (test.kind == "call_expression" and not found.operator)
    if test is not found.look.at:
        return False
    return any(
        n.kind == "return_statement" and n.text == b"return true" and n.up("for_statement")
        for n in decl.node.own()
    )


def _compares(found: Decided) -> bool:
    """Return whether the method that is asked compares a number itself: `return len(q) >= max`."""
    decl = found.look.decl
    if decl is None or found.operator:
        return False
    return any(
        n.kind == "binary_expression" and n["operator"].kind in {"<", "<=", ">", ">="}
        for s in decl.node["body"].own()
        if s.kind == "return_statement"
        for n in s.walk()
    )


def _is_zero(node: Node | None) -> bool:
    return node is not None and node.text == b"0"


def _overwrites(found: Decided) -> bool:
    """Return whether a store takes from the first what it was promised."""
    value, file = found.change.value, found.change.file
    if value is None:
        return False
    if found.is_bound:
        return found.other is not None and found.other.text == value.text  # a maximum
    if _is_constant(file, value):
        return _claims(found, value) and _works(found)
    if found.refusal is not None:
        return says_taken(found) is True and _refuses(found)
    return says_taken(found) is False and is_made_anew(file, value)


def _claims(found: Decided, value: Node) -> bool:
    """Return whether a store sets what the test has found to be otherwise.

    `if s.closed { return }; s.closed = true`, `if j.state != pending { return }; j.state = running`
    """
    taken, left = says_taken(found), found.refusal is not None
    passed = passes_on(found)
    if passed is not None:
        return (passed[0] == value.name) is not passed[1]
    if found.operator in {"==", "!="} and taken is None:
        same = found.other is not None and found.other.text == value.text
        return same is ((found.operator == "==") is left)
    if value.text in {b"false", b"nil"}:
        return taken is not None and taken is not left
    return taken is not None and taken is left


def is_claim(found: Decided) -> bool:
    """Return whether a flag is tested and set, for work that one alone is to do."""
    value = found.change.value
    return value is not None and _is_constant(found.change.file, value)


def _is_constant(file: GoFile, value: Node) -> bool:
    if value.kind in _LITERALS or value.text == b"struct{}{}":
        return True
    meant = file.resolve(value) if value.kind == "identifier" else None
    return getattr(meant, "kind", "") == "const"


def _refuses(found: Decided) -> bool:
    """Return whether who comes second is told no."""
    file, branch = found.change.file, found.refusal
    if branch is None:
        return False
    last, function = branch.statements[-1], found.change.at.function
    if last.kind != "return_statement" or function is None:
        return False
    if refuses(file, function, last):
        return True
    values = last.children[1].children if len(last.children) > 1 else []
    if values and values[-1].name in found.names and found.operator == "!=":
        return str(file.type_of(values[-1])) == "error"
    if any(v.text == b"false" for v in values):
        return any(
            n.kind == "return_statement" and n.start > found.change.at.end and b"true" in n.text
            for n in function.own()
        )
    return any(
        n.kind == "call_expression" and _REPLIES.search(n["function"].name) for n in branch.own()
    )


def _works(found: Decided) -> bool:
    """Return whether something is done behind the change that only one is to do."""
    function = found.change.at.function
    if function is None:
        return False
    end = (found.by if found.refusal is None else function).end
    since = found.by.end if found.refusal is not None else found.change.at.end
    return works(function, found.change.at, end, since)


def works(function: Node, change: Node, end: int, since: int = 0) -> bool:
    """Return whether a function does more behind a change than to say something and unlock.

    Or behind the test: `since`.
    """
    for node in function.own():
        if not (since or change.end) <= node.start < end or node.contains(change):
            continue
        if node.kind in {"go_statement", "send_statement"}:
            return True
        if node.kind != "expression_statement" or node.children[0].kind != "call_expression":
            continue
        name = node.children[0]["function"].name
        if not _SAYS.search(name) and not name.endswith(("Unlock", "Lock", "Done")):
            return True
    return False


def is_made_anew(file: GoFile, value: Node) -> bool:
    """Return whether a value is made anew, so that two of them are not the same."""
    made = value
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is not None and binding.value is not None:
        made = binding.value
    if made.kind == "unary_expression" and made["operator"].kind == "&":
        return made["operand"].kind == "composite_literal"
    if made.kind == "call_expression":
        return isinstance(file.underlying(file.type_of(value)), Pointer | Chan)
    return False


def _forgets(found: Decided) -> bool:
    """Return whether an element is dropped because it was empty: meanwhile it may not be."""
    return found.operator in {"==", "<=", "<"} and _is_zero(found.other)
