"""Access a variable atomically everywhere once it is atomic somewhere

The variable is changed or read through sync/atomic here and plainly there. An atomic access
orders nothing for those who do not use one: the plain read may see an old or half-written
value, the plain write may undo an atomic one, and the race detector reports both. Likewise
`x = atomic.AddInt64(&x, 1)`, which stores plainly what was added atomically.

Likewise an addition in two steps, `n.Store(n.Load() + 1)`, a load in the line below an addition, a
copy of the struct around the variable, which reads it plainly, and an object made in the function
once it is in a queue.

Not reported: constructors, set-up and tear-down, objects made in the function; a function that
first waits (`wg.Wait()`, a receive) for those who write, or only then launches them; a plain
access under a lock that the atomic ones hold, too, or that some caller may hold; an object that is
not the method's own; code whose name or comment speaks of locks or races; tests; what only a
method that adds up finished objects of its own type changes atomically (`Merge`).

Without a fix: an operation that sync/atomic has no function for; a copy of a struct that embeds
another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import Access
from threadmend.golang.atomics import AtomicAccess, atomic_accesses, plain_accesses
from threadmend.golang.belief import is_beyond_judgement
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.calls import Site, code_callers, own_callers
from threadmend.golang.count_helpers import waits
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.functions import doc_of, outer_function
from threadmend.golang.goroutines import innermost_loop, started_by
from threadmend.golang.handovers import given_away
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at
from threadmend.golang.package import Decl, Package
from threadmend.golang.preparing import prepares
from threadmend.golang.scope import Binding
from threadmend.golang.setup import is_made_here, is_setup
from threadmend.golang.spoken import is_explained
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._added_above import loaded_after_addition, result_of_addition
from ._atomic_copies import copies, copy_edits, in_place
from ._atomic_names import atomic_name, imported
from ._loaded_once import is_beside_test, loaded_once
from ._lost_addition import lost_additions
from ._same_place import (
    changing,
    is_called_upon,
    is_kept_by_receiver,
    is_merged,
    is_of_result,
    is_part_of_receiver,
    is_same_place,
)

CATEGORY = "shared-state"
GATE = (
    rb"\.(?:Add|Load|Store|Swap|CompareAndSwap|And|Or)(?:Int32|Int64|Uint32|Uint64|Uintptr)\("
    rb"|\w\.\w+\(&\w+\.\w+[,)]|\.Store\((?=[^\n]*\.Load\()|\.Add\((?=[^\n]*\)\s*\n[^\n]*\.Load\(\))"
)


def check(package: Package) -> Iterator[Finding]:
    """Yield the plain accesses of variables that are accessed atomically elsewhere."""
    for atomics in atomic_accesses(package).values():
        own = [a for a in atomics if _assigned_back(a) is not None]
        for access in own:
            yield _stored_back(access)
        if all(a.kind == "Pointer" for a in atomics):
            continue
        seen = {_assigned_back(a) for a in own}
        found = []
        for plain in plain_accesses(package, atomics[0]):
            same = [a for a in atomics if is_same_place(plain, a)]
            if plain.node in seen or not same or all(map(is_merged, changing(same))):
                continue
            if not _is_ordered(plain, same):
                found.append((plain, same))
        reads = [plain.node for plain, _ in found if plain.kind == "read"]
        for plain, same in found:
            yield _finding(plain, same, reads)
    for copy, parts in copies(package):
        if in_place(copy) and not _is_ordered(copy, parts):
            yield _copied(copy, parts)
    yield from lost_additions(package)
    yield from loaded_after_addition(package)


def _assigned_back(access: AtomicAccess) -> Node | None:
    """Return the `x` on the left of `x = atomic.AddInt64(&x, …)`."""
    values = access.call.parent
    statement = values.parent if values is not None else None
    if statement is None or statement.kind != "assignment_statement":
        return None
    left, right = statement["left"].children, statement["right"].children
    if len(left) != 1 or right != [access.call] or access.operation != "Add":
        return None
    return left[0] if left[0].text == access.target.text else None


def _stored_back(access: AtomicAccess) -> Finding:
    statement = access.call.statement
    assert statement is not None
    edit = Edit(statement.path, statement.start, access.call.start, b"")
    name = access.target.name
    return Finding(
        path=statement.path,
        start=statement.start,
        end=statement.end,
        message=f"the result of the atomic addition is stored in {name} plainly",
        fixes=(Fix("Drop the assignment", (edit,)),),
    )


def _is_ordered(plain: FieldAccess, atomics: list[AtomicAccess]) -> bool:
    """Return whether something keeps a plain access apart from the atomic ones."""
    if plain.kind not in {"read", "write", "update"} or is_of_result(plain):
        return True
    statement = plain.node.statement
    if statement is not None and _SAYS_PLAIN.search(doc_of(statement)):
        return True
    fresh = plain.fresh or _is_of_fresh(plain)
    if fresh and not _is_given_away(plain):
        return True
    if _is_only_of_new(plain) or prepares(plain):
        return True
    own = fresh or is_part_of_receiver(plain) or is_kept_by_receiver(plain)
    own = own or is_called_upon(plain, atomics)
    if is_beyond_judgement(plain, any_object=own, locked_too=True) or _waits_before(
        plain.file, plain.node
    ):
        return True
    if not plain.writes and all(_is_own_write(plain, a) for a in atomics if a.writes):
        return True
    held = _classes(plain.file, plain.node)
    return bool(held) and not any(_is_beside(plain, a, held) for a in atomics)


_SAYS_PLAIN = re.compile(
    rb"(?i)\b(?:without|no need (?:for|of|to use)|not? need(?:ed)?|needn't be|need not be)"
    rb" (?:to be |an? |the |any )?atomic"
    rb"|\batomic\w*(?: \w+){0,2} (?:not|n't) (?:needed|necessary|required)"
)


def _is_only_of_new(plain: FieldAccess) -> bool:
    """Return whether a method uses its own object, and the module calls it on new ones only.

    `db := NewDB(path); db.Load(); current = db`, in a package that others may import as well.
    """
    function, root = outer_function(plain.node), _root(plain)
    decl = declaration_of(plain.file, function) if function is not None else None
    if decl is None or root is None or root.kind != "receiver" or _launches(decl):
        return False
    sites = code_callers(decl)
    return bool(sites) and all(_is_on_new(site) for site in sites)


def _is_on_new(site: Site) -> bool:
    if site.call is None or site.launched or site.call["function"].kind != "selector_expression":
        return False
    binding = site.file.binding(site.call["function"]["operand"])
    if binding is None or not is_made_here(site.file, site.node, Access(binding, ())):
        return False
    before = [n for n in (binding.value, *(u.up("call_expression") for u in binding.uses)) if n]
    for call in before:
        if call.kind == "call_expression" and call.start < site.node.start:
            decl = site.file.callee(call)
            if decl is None or _launches(decl):
                return False
    return given_away(site.file, binding, site.node) is None


def _launches(decl: Decl) -> bool:
    return _LAUNCHES.search(decl.file.data, *decl.span) is not None


_LAUNCHES = re.compile(rb"\bgo\s+[\w(]|\.Go\(|\bAfterFunc\(")


def _is_own_write(plain: FieldAccess, atomic: AtomicAccess) -> bool:
    """Return whether the one goroutine that runs a function writes there what it reads plainly.

    `go p.send()`, and in there `for p.count < max { atomic.AddInt32(&p.count, 1); … }`.
    """
    function = plain.node.function
    if function is None or atomic.call.function is not function:
        return False
    decl = declaration_of(plain.file, function)
    if decl is None or decl.exported:
        return False
    starts = [started_by(decl, site) for site in own_callers(decl, LOCK_CALLS)]
    return bool(starts) and all(s is not None and innermost_loop(s) is None for s in starts)


def _is_beside(plain: FieldAccess, atomic: AtomicAccess, held: frozenset[str | None]) -> bool:
    """Return whether an atomic access is made without any lock that a plain one may hold.

    Both of the same object's methods, so that it is the same variable.
    """
    if not (plain.writes or atomic.writes) or None in held:
        return False
    if _is_of_receiver(plain.file, plain.node) is not _is_of_receiver(atomic.file, atomic.target):
        return False  # one is an element here, the other an object of its own there
    other = _classes(atomic.file, atomic.call)
    if None in other or held & other or is_setup(atomic.file, atomic.call):
        return False
    return not is_explained(atomic.file, atomic.call)


def _is_of_receiver(file: GoFile, node: Node) -> bool:
    """Return whether a field is that of the method's own object."""
    operand = node["operand"] if node.kind == "selector_expression" else None
    binding = file.binding(operand) if operand is not None else None
    return binding is not None and binding.kind == "receiver"


def _classes(file: GoFile, node: Node) -> frozenset[str | None]:
    """Return the classes of the locks that are held at a node, by its function or a caller."""
    function = outer_function(node)
    above = caller_classes(file, function) if function is not None else frozenset()
    return above | {h.lock_class for h in held_at(file, node)}


def _root(plain: FieldAccess) -> Binding | None:
    """Return the variable that an access begins with, also through calls: `d.usage(x).most`."""
    if plain.base is not None:
        return plain.base.root if isinstance(plain.base.root, Binding) else None
    node: Node | None = plain.node
    while node is not None and node.kind in {"selector_expression", "call_expression"}:
        node = node.get("operand") or node.get("function")
    return plain.file.binding(node) if node is not None and node.kind == "identifier" else None


def _is_of_fresh(plain: FieldAccess) -> bool:
    """Return whether a call of an object that was made here gives what is accessed."""
    root = _root(plain) if plain.base is None else None
    return root is not None and is_made_here(plain.file, plain.node, Access(root, ()))


def _is_given_away(plain: FieldAccess) -> bool:
    """Return whether others have had the object, made here, since before the access."""
    root = _root(plain)
    return isinstance(root, Binding) and given_away(plain.file, root, plain.node) is not None


def _waits_before(file: GoFile, node: Node) -> bool:
    """Return whether the function waits for others further up."""
    function = outer_function(node)
    if function is None:
        return True
    for other in function.walk():
        if other.start >= node.start:
            return False
        if other.kind == "unary_expression" and other["operator"].kind == "<-":
            return True
        if other.kind == "call_expression":
            called = other["function"]
            field = called["field"].name if called.kind == "selector_expression" else ""
            if field in _ENDS or waits(file, other):
                return True
    return False


_ENDS = frozenset({"Stop", "Close", "Shutdown"})


def _finding(plain: FieldAccess, atomics: list[AtomicAccess], reads: list[Node]) -> Finding:
    node, name = plain.node, plain.node.name
    other = next((a for a in atomics if a.writes), atomics[0])
    fix, reason = _fix(plain, atomics, other, reads)
    verb = "written" if plain.writes else "read"
    return Finding(
        path=plain.file.path,
        start=node.start,
        end=node.end,
        message=f"{name} is {verb} plainly, and accessed through sync/atomic elsewhere",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(other.file.path, other.call.start, other.call.end, "accessed atomically here"),
        ),
        reason=reason,
    )


_TITLES = {"read": "Load", "write": "Store", "update": "Add to"}


def _copied(copy: FieldAccess, parts: list[AtomicAccess]) -> Finding:
    """Return the finding for a copy of a struct with fields that are accessed atomically."""
    node, first = copy.node, parts[0]
    edits, reason = copy_edits(copy, parts)
    name = first.target["field"].name
    return Finding(
        path=copy.file.path,
        start=node.start,
        end=node.end,
        message=f"the copy of {node.name} reads {name} plainly, which others change atomically",
        fixes=(Fix("Copy field by field", edits),) if edits else (),
        related=(
            Related(first.file.path, first.call.start, first.call.end, "accessed atomically here"),
        ),
        reason=reason,
    )


def _fix(
    plain: FieldAccess, atomics: list[AtomicAccess], atomic: AtomicAccess, reads: list[Node]
) -> tuple[Fix | None, str]:
    """Return the fix: one load for all reads that belong together, or else each for itself."""
    name, package = plain.node.name, atomic_name(plain.file)
    title = f"{_TITLES[plain.kind]} {name} atomically"
    if plain.kind == "read" and package is not None:
        load = f"{package}.Load{atomic.kind}(&{name})"
        if once := loaded_once(plain.file, plain.node, reads, atomics, load):
            return Fix(f"Load {name} once, atomically", (*once, *imported(plain.file))), ""
    edits, reason = _edits(plain, atomic)
    if not edits:
        return None, reason
    if plain.kind == "read" and is_beside_test(plain.node, reads):
        return Fix(title, edits, Safety.UNSAFE, f"others may change {name} after its test"), ""
    return Fix(title, edits), ""


def _edits(plain: FieldAccess, atomic: AtomicAccess) -> tuple[tuple[Edit, ...], str]:
    """Put the function of sync/atomic that does the same in the place of a plain access."""
    file, node = plain.file, plain.node
    package = atomic_name(file)
    if package is None:
        return (), "the name atomic means something else in this file"
    if node.path == atomic.file.path and atomic.call.contains(node):
        return (), "the access is an operand of the atomic operation itself"
    name, kind = node.name, atomic.kind
    if plain.kind == "read":
        if added := result_of_addition(node, name):
            return added, ""
        edit = Edit(node.path, node.start, node.end, f"{package}.Load{kind}(&{name})".encode())
        return (edit, *imported(file)), ""
    statement = node.statement
    assert statement is not None
    code = _written(statement, node, f"{package}.", kind)
    if code is None:
        return (), "sync/atomic has no function for this operation"
    holder = node.parent if statement.kind in {"inc_statement", "dec_statement"} else statement
    if holder is None or holder is not statement:
        return (), "the write is a part of a larger statement"
    return (Edit(node.path, statement.start, statement.end, code.encode()), *imported(file)), ""


def _written(statement: Node, node: Node, package: str, kind: str) -> str | None:
    name = node.name
    signed = kind.startswith("Int")
    if statement.kind == "inc_statement":
        return f"{package}Add{kind}(&{name}, 1)"
    if statement.kind == "dec_statement":
        minus = "-1" if signed else f"^{kind.lower()}(0)"
        return f"{package}Add{kind}(&{name}, {minus})"
    if statement.kind != "assignment_statement" or len(statement["left"].children) != 1:
        return None
    value = statement["right"].children[0]
    operator = statement["operator"].kind
    if any(n.text == node.text for n in value.walk()):
        return None
    if operator == "=":
        return f"{package}Store{kind}(&{name}, {_compact(value)})"
    if operator == "+=":
        return f"{package}Add{kind}(&{name}, {_compact(value)})"
    if operator == "-=" and signed:
        simple = value.kind in {"identifier", "int_literal", "call_expression"}
        return f"{package}Add{kind}(&{name}, -{value.name if simple else f'({value.name})'})"
    return None


def _compact(value: Node) -> str:
    """Return an expression as gofmt writes it among several arguments: `2*n-1`."""
    if value.kind == "binary_expression":
        left, right = _compact(value["left"]), _compact(value["right"])
        return f"{left}{value['operator'].name}{right}"
    return value.name
