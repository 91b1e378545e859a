"""An atomic number that is tested, and stored in a later step: the decision may be out of date.

if n.Load() >= max {                for {
    return false                        old := n.Load()
}                                       if old >= max {
next := n.Load() + k        →               return false
n.Store(next)                           }
                                        next := old + k
                                        if n.CompareAndSwap(old, next) {
                                            break
                                        }
                                    }
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, free_name, taken_names, with_reason
from threadmend.golang.calls import code_files
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.package import Package
from threadmend.golang.setup import is_setup
from threadmend.golang.spoken import speaks_of_locks
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

__all__ = ["atomic_steps"]

_STORE = re.compile(rb"\.(?:Store|Add)\(")
_KINDS = frozenset({"Int32", "Int64", "Uint32", "Uint64"})
_LEAVES = frozenset({"return_statement", "continue_statement", "break_statement"})
_SIDES = ("left", "right")
_REASON = "the test and what it computes run again when another goroutine was faster"


def atomic_steps(package: Package) -> Iterator[Finding]:
    """Yield the stores to an atomic number that an earlier load of it decided."""
    for file in code_files(package):
        if file.generated or file.broken:
            continue
        for declaration in file.declarations(_STORE):
            for call in declaration.index.get("call_expression", ()):
                if _is_store(file, call) and not held_at(file, call):
                    yield from _stored(file, call)


def _is_store(file: GoFile, call: Node) -> bool:
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name not in {"Store", "Add"}:
        return False
    if call.parent is None or call.parent.kind != "expression_statement":
        return False
    operand = function["operand"]
    type_ = deref(file.type_of(operand))
    known = isinstance(type_, Named) and type_.package == "sync/atomic"
    if not known or not isinstance(type_, Named) or type_.name not in _KINDS:
        return False
    return operand.kind == "selector_expression" and operand["operand"].kind == "identifier"


def _stored(file: GoFile, store: Node) -> Iterator[Finding]:
    statement, function = store.parent, outer_function(store)
    if statement is None or function is None or store.function is not function:
        return
    if not function["name"].name[:1].isupper() or speaks_of_locks(file, function):
        return
    if is_setup(file, store) or len(store["arguments"].children) != 1:
        return
    place = store["function"]["operand"].name
    value = store["arguments"].children[0]
    computed = _computed(file, statement, value, place)
    test = _test(file, computed or statement, place)
    loads = _loads(file, computed or statement, place)
    if test is None:
        return
    if _adds(store):
        if value.kind == "unary_expression" or not _is_bound(test, place):
            return
    elif len(loads) != 1:
        return
    fix, reason = _fix(file, test, computed, statement, place)
    yield Finding(
        path=file.path,
        start=store.start,
        end=store.end,
        message=f"{place} is {'added to' if _adds(store) else 'stored'} on the ground of an"
        " earlier load, in a step of its own",
        fixes=(fix,) if fix is not None else (),
        related=(Related(test.path, test.start, test["condition"].end, "tested here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(file: GoFile, test: Node, computed: Node | None, statement: Node, place: str) -> Fix:
    edits = _retried(file, test, computed, statement, place)
    return Fix(f"Compare and swap {place}", edits, Safety.UNSAFE, _REASON)


def _adds(store: Node) -> bool:
    return store["function"]["field"].name == "Add"


def _is_bound(test: Node, place: str) -> bool:
    """Return whether a test asks if a number has come to its limit: `if n.Load() >= most`."""
    condition = test["condition"]
    if condition.kind != "binary_expression":
        return False
    left, right = (condition[side].text == f"{place}.Load()".encode() for side in _SIDES)
    operator = condition["operator"].kind
    return (left and operator in {">", ">="}) or (right and operator in {"<", "<="})


def _computed(file: GoFile, statement: Node, value: Node, place: str) -> Node | None:
    """Return the statement right above that computes what is stored."""
    above = statement.previous
    if value.kind != "identifier" or above is None or above.kind != "short_var_declaration":
        return None
    names = above["left"].children
    single = len(names) == 1 and names[0].name == value.name
    return above if single and _loads(file, above, place) else None


def _loads(file: GoFile, root: Node, place: str) -> list[Node]:
    """Return the expressions of a node that load a place: directly, or by a getter."""
    found = []
    for call in root.find("call_expression"):
        function = call["function"]
        if function.kind != "selector_expression":
            continue
        direct = function["field"].name == "Load" and function["operand"].name == place
        if direct or _getter(file, call, place) is not None:
            found.append(call)
    return found


def _getter(file: GoFile, call: Node, place: str) -> Node | None:
    """Return what a method of the same object returns, when that loads the place once."""
    decl = file.callee(call)
    if decl is None or decl.kind != "method" or decl.file.package is not file.package:
        return None
    if call["function"].kind != "selector_expression":
        return None  # a method that a variable keeps
    body = decl.node.get("body")
    owner = call["function"]["operand"].name
    receiver = [n.name for p in decl.node["receiver"].children for n in p.all("name")]
    if body is None or receiver != [owner] or call["arguments"].children:
        return None
    inside = body.statements
    if len(inside) != 1 or inside[0].kind != "return_statement":
        return None
    value = inside[0].children[-1]
    return value if value.text.count(f"{place}.Load()".encode()) == 1 else None


def _test(file: GoFile, statement: Node, place: str) -> Node | None:
    """Return the `if` right above that leaves on what the place held."""
    above = statement.previous
    if above is None or above.kind != "if_statement" or above.get("alternative") is not None:
        return None
    body = above["consequence"].statements
    if above.get("initializer") is not None or not body or body[-1].kind not in _LEAVES:
        return None
    return above if len(_loads(file, above["condition"], place)) == 1 else None


def _retried(
    file: GoFile, test: Node, computed: Node | None, statement: Node, place: str
) -> tuple[Edit, ...]:
    """Return the edits that put test, computation and store into a loop of compare and swap."""
    function = statement.function
    if function is None or innermost_loop(statement) is not None:
        raise BuilderError("the store stands in a loop")
    if statement.tree.comments_in(test.end, statement.end) or b"`" in test.text:
        raise BuilderError("a comment or a string between the steps would be lost")
    store = statement.children[0]
    value = store["arguments"].children[0]
    taken = set(taken_names(function))
    old = free_name("old", taken)
    lines = [f"{old} := {place}.Load()"]
    condition = _with(file, test["condition"], place, old)
    start = test["condition"].start - test.start
    end = test["condition"].end - test.start
    whole = test.text
    lines.append(whole[:start].decode() + condition + whole[end:].decode())
    new, before = free_name("next", taken), ""
    if computed is not None:
        name = computed["left"].children[0]
        binding, new, sign = file.binding(name), name.name, ":="
        if binding is None or any(u.start > statement.end for u in binding.uses):
            sign, before = "=", f"var {new} {_plain_type(file, store)}\n"
        lines.append(f"{new} {sign} {_with(file, computed['right'], place, old)}")
    elif _adds(store):
        new = f"{old}+{value.name}"
        if value.kind not in {"int_literal", "identifier", "selector_expression"}:
            raise BuilderError("what is added is computed")
    else:
        lines.append(f"{new} := {_with(file, value, place, old)}")
    lines.append(f"if {place}.CompareAndSwap({old}, {new}) {{\n\tbreak\n}}")
    indent = statement.tree.source.indent_at(statement.start)
    newline = statement.tree.source.newline
    text = "for {\n" + "\n".join(lines) + "\n}"
    head = before.encode() + (indent if before else b"")
    return (
        Edit(
            file.path,
            test.start,
            statement.end,
            (head + _laid_out(text, whole, indent)).replace(b"\n", newline),
        ),
    )


def _plain_type(file: GoFile, store: Node) -> str:
    """Return the type that an atomic number holds: `int64` of `atomic.Int64`."""
    type_ = deref(file.type_of(store["function"]["operand"]))
    assert isinstance(type_, Named)
    return type_.name.lower()


def _with(file: GoFile, node: Node, place: str, old: str) -> str:
    """Return an expression's text with the variable in the place of the load."""
    text = node.name
    for call in _loads(file, node, place):
        value = _getter(file, call, place)
        new = old
        if value is not None:
            new = value.name.replace(f"{place}.Load()", old)
            new = new if value is call or node is call else f"({new})"
        text = text.replace(call.name, new)
    return text


def _laid_out(text: str, test: bytes, indent: bytes) -> bytes:
    """Indent the lines of a loop; those of the test are indented already."""
    kept = set(test.split(b"\n")[1:])
    first, *lines, last = text.encode().split(b"\n")
    inner = [(b"\t" if line in kept else indent + b"\t") + line for line in lines]
    return b"\n".join([first, *inner, indent + last])
