"""What `mutex-copied` and `waitgroup-by-value` share: a finding for each copy, and its fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from threadmend.golang.builders.lines import BuilderError
from threadmend.golang.builders.pointer_places import (
    elements_to_pointers,
    field_to_pointer,
    owner_of,
    range_by_index,
    variable_to_pointer,
)
from threadmend.golang.builders.pointer_results import result_to_pointer
from threadmend.golang.builders.pointer_signatures import parameter_to_pointer, receiver_to_pointer
from threadmend.golang.builders.pointers import CannotFollow, Rewrite, pointer_to
from threadmend.golang.copies import Copy, copies, is_interface, target_type
from threadmend.golang.file import GoFile
from threadmend.golang.nocopy import is_ours
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Array, Struct, is_named
from threadmend.model import Confidence, Edit, Finding, Fix, Safety

__all__ = ["found"]

# Nothing but a lock: no data in it of which somebody could have meant a copy.
_BARE = frozenset(
    {
        *(("sync.Mutex",), ("sync.RWMutex",), ("sync.Once",)),
        *(("sync.WaitGroup",), ("sync.Cond",), ("sync.Pool",)),
    }
)


def found(file: GoFile, wanted: Callable[[Copy], bool]) -> Iterator[Finding]:
    """Yield a finding for every copy that a rule wants, with a fix where it can be followed."""
    results: set[tuple[Node | None, int]] = set()
    for copy in copies(file):
        if not wanted(copy) or _is_covered(file, copy):
            continue
        if copy.kind == "result":
            key = (copy.holder.function, copy.index)
            if key in results:
                continue
            results.add(key)
        yield _finding(file, copy)


# -- what is left alone ------------------------------------------------------------------


def _is_covered(file: GoFile, copy: Copy) -> bool:
    """Return whether a copy is reported elsewhere, or copies nothing that is in use."""
    if copy.kind == "argument":
        return _parameter_is_reported(file, copy)
    if copy.kind == "result":
        binding = file.binding(copy.node)
        return binding is not None and binding.kind == "result"
    return False


def _parameter_is_reported(file: GoFile, copy: Copy) -> bool:
    """Return whether the callee takes the value by a parameter that has a finding of its own."""
    call = copy.holder.parent
    if call is None or is_interface(
        file, target_type(file, copy.kind, copy.holder, copy.index, None)
    ):
        return False
    decl = file.callee(call)
    if decl is not None:
        group = decl.node.get("parameters")
        variadic = group is not None and any(
            p.kind == "variadic_parameter_declaration" for p in group.children[-1:]
        )
        own = is_ours(decl.file.package) and not decl.file.generated
        return own and decl.node.get("body") is not None and not variadic
    function = call["function"]
    if function.kind == "func_literal":
        return True
    binding = file.binding(function)
    return binding is not None and _holds_literal(binding)


def _holds_literal(binding: Binding) -> bool:
    declaration = binding.declaration
    if declaration.kind != "short_var_declaration":
        return False
    values = declaration["right"].children
    return binding.index < len(values) and values[binding.index].kind == "func_literal"


def is_fresh(file: GoFile, copy: Copy) -> bool:
    """Return whether a local variable is copied before anything was done with it."""
    binding = file.binding(copy.node)
    if binding is None or binding.kind != "variable":
        return False
    declaration = binding.declaration
    value = declaration.get("value") or declaration.get("right")
    if value is not None and value.children[min(binding.index, len(value.children) - 1)].kind != (
        "composite_literal"
    ):
        return False
    loop = copy.node.up("for_statement")
    if loop is not None and not loop.contains(declaration):
        return False
    return not any(binding.node.start < use.start < copy.node.start for use in binding.uses)


# -- the finding -------------------------------------------------------------------------


def _finding(file: GoFile, copy: Copy) -> Finding:
    start, end = copy.node.start, copy.node.end
    message = _message(file, copy)
    confidence = Confidence.MEDIUM if is_fresh(file, copy) else Confidence.HIGH
    try:
        title, rewrite = _fix(file, copy)
        edits = rewrite.finished(file.package.workspace)
    except (CannotFollow, BuilderError) as cannot:
        return Finding(file.path, start, end, message, reason=str(cannot), confidence=confidence)
    if any(file.package.workspace.file(edit.path).generated for edit in edits):
        reason = "a generated file would have to follow"
        return Finding(file.path, start, end, message, reason=reason, confidence=confidence)
    reasons = "; ".join(dict.fromkeys([*rewrite.reasons, *_shared(copy, rewrite)]))
    fix = Fix(title, edits, Safety.UNSAFE if reasons else Safety.SAFE, reasons)
    return Finding(file.path, start, end, message, (fix,), confidence=confidence)


def _shared(copy: Copy, rewrite: Rewrite) -> Iterator[str]:
    """Yield why it matters that two parties now share what each had a copy of.

    Whoever uses the lock through the copy meant the shared value, and a bare lock has no
    data. Otherwise a write that went to the copy now goes to the original, and a reader may
    see what others write later.
    """
    if copy.locks in _BARE or rewrite.locks or rewrite.reasons:
        return
    if rewrite.writes:
        yield "what is written to the copy without its lock is then written to the original"
    elif rewrite.launched:
        yield "a goroutine then reads the original, no longer a copy"
    elif copy.kind in {"assignment", "element"}:
        yield "later changes of the original then show through the pointer"


def _message(file: GoFile, copy: Copy) -> str:
    what = _described(copy)
    text = " ".join(copy.node.name.split())
    if copy.kind in {"receiver", "parameter"}:
        names = [n.name for n in copy.holder.all("name") if n.text != b"_"]
        function = _function_name(copy.holder)
        if len(names) > 1:
            listed = ", ".join(names[:-1]) + " and " + names[-1]
            return f"the parameters {listed} of {function} are copies of {what}"
        word = f"the {copy.kind} {names[0]}" if names else f"a {copy.kind}"
        return f"{word} of {function} is a copy of {what}"
    if copy.kind == "range":
        return f"the loop variable {text} is a copy of {what}"
    what = f"which contains {_lock(copy)}" if len(copy.locks) > 1 else what
    if copy.kind == "assignment":
        return f"{_target(copy)} is a copy of {text}, {what}"
    if copy.kind == "result":
        return f"{_function_name(copy.node)} returns a copy of {text}, {what}"
    if copy.kind == "argument":
        call = copy.holder.parent
        assert call is not None
        return f"the call of {call['function'].name} copies {text}, {what}"
    word = "the send" if copy.kind == "send" else "the literal"
    return f"{word} copies {text}, {what}"


def _described(copy: Copy) -> str:
    if len(copy.locks) == 1 and not isinstance(copy.type, Array):
        return _lock(copy)
    name = {"struct": "a struct"}.get(copy.locks[0], copy.locks[0])
    return f"{'an array' if isinstance(copy.type, Array) else name}, which contains {_lock(copy)}"


def _lock(copy: Copy) -> str:
    name = copy.locks[-1]
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _function_name(node: Node) -> str:
    function: Node | None = node
    while function is not None and function.kind not in FUNCTIONS:
        function = function.parent
    name = function.get("name") if function is not None else None
    return name.name if name is not None else "a function literal"


def _target(copy: Copy) -> str:
    if copy.holder.kind == "var_spec":
        names = copy.holder.all("name")
    else:
        names = copy.holder["left"].children
    return names[copy.index].name if copy.index < len(names) else "the variable"


# -- the fix -----------------------------------------------------------------------------


def _fix(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    if len(copy.locks) > 1 and type(copy.type).__name__ == "TypeParam":
        raise CannotFollow("the type is a type parameter")
    if copy.kind == "receiver":
        name = _function_name(copy.holder)
        return f"Make the receiver of {name} a pointer", receiver_to_pointer(file, copy.holder)
    if copy.kind == "parameter":
        given = [n.name for n in copy.holder.all("name") if n.text != b"_"]
        names = " and ".join(given) or f"the {copy.node.name}"
        return f"Pass {names} by pointer", parameter_to_pointer(file, copy.holder)
    if copy.kind == "range":
        title = f"Range over {copy.holder['right'].name} by index"
        return title, range_by_index(file, copy.holder, copy.node)
    target = target_type(file, copy.kind, copy.holder, copy.index, copy.type)
    if is_interface(file, target):
        return _interface(file, copy)
    if copy.kind == "result":
        function = copy.holder.function
        assert function is not None
        title = f"Return a pointer from {_function_name(copy.node)}"
        return title, result_to_pointer(file, function, copy.index)
    if copy.kind == "assignment":
        return _assignment(file, copy)
    if copy.kind == "element":
        return _element(file, copy)
    if copy.kind == "send":
        raise CannotFollow("the channel has to carry pointers, wherever it is used")
    call = copy.holder.parent
    if call is not None and call["function"].text == b"append":
        raise CannotFollow("the slice holds values; it would have to hold pointers everywhere")
    raise CannotFollow("the parameter takes a value, and its function cannot be changed here")


def _interface(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    """Put a pointer into the interface: it has every method that the value has."""
    call = copy.holder.parent
    if copy.kind == "argument" and call is not None and not _only_reads(file, call):
        raise CannotFollow("what the callee does with the value in the interface is not known")
    if is_named(copy.type, *_LOADED) and copy.node.kind != "unary_expression":
        end = copy.node.end
        loaded = Rewrite(edits=[Edit(file.path, end, end, b".Load()")])
        loaded.reasons.append("the interface then holds what is stored in the atomic value")
        return f"Load {copy.node.name}", loaded
    rewrite = Rewrite(edits=[pointer_to(file, copy.node)])
    rewrite.reasons.append("the interface then holds a pointer, which prints and compares as one")
    return f"Use a pointer to {copy.node.name}", rewrite


_LOADED = tuple(
    f"sync/atomic.{name}"
    for name in ("Bool", "Int32", "Int64", "Uint32", "Uint64", "Uintptr", "Value", "Pointer")
)
_READERS = frozenset({"fmt", "log", "encoding/json", "encoding/xml", "encoding/gob"})


def _only_reads(file: GoFile, call: Node) -> bool:
    """Return whether a call prints or encodes: pointers to structs do as well as structs."""
    decl = file.callee(call)
    return decl is not None and decl.file.package.path in _READERS


def _assignment(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    holder = copy.holder
    if holder.kind == "assignment_statement" and copy.index < len(holder["left"].children):
        place = holder["left"].children[copy.index]
        if place.kind == "selector_expression":
            selection = file.selection(place)
            owner = owner_of(file, selection.owner) if selection is not None else None
            if owner is not None and selection is not None and selection.kind == "field":
                name = place["field"].name
                rewrite = field_to_pointer(file, owner, name)
                return f"Make the field {owner.name}.{name} a pointer", rewrite
    title = f"Let {_target(copy)} point to {copy.node.name}"
    return title, variable_to_pointer(file, holder, copy.index, copy.node)


def _element(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    parent = copy.holder.parent
    keyed = parent is not None and parent.kind == "keyed_element"
    literal = parent.parent if keyed and parent is not None else parent
    assert parent is not None
    assert literal is not None
    whole = file.type_of(literal)
    if not isinstance(file.underlying(whole), Struct):
        return "Store pointers", elements_to_pointers(file, literal)
    owner = owner_of(file, whole)
    if owner is None or not keyed:
        raise CannotFollow("the struct is not declared here, or its fields are not named")
    name = parent["key"].name
    return f"Make the field {owner.name}.{name} a pointer", field_to_pointer(file, owner, name)
