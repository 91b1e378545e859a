"""What `mutex-copied` and `waitgroup-by-value` share: a finding for each copy, and its fix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from threadmend.golang.builders.lines import BuilderError
from threadmend.golang.builders.pointers import CannotFollow, Rewrite
from threadmend.golang.calls import callers
from threadmend.golang.copies import Copy, copies, is_interface, target_type
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of
from threadmend.golang.nocopy import is_ours
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array
from threadmend.model import Confidence, Finding, Fix, Safety

from ._copied_fix import fix_of, function_name, target_name

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
        finding = _finding(file, copy)
        if copy.kind == "receiver" and finding.fixes and _is_called_on_copies(file, copy):
            reason = "it is only called on copies, which have to go first"
            finding = replace(finding, fixes=(), reason=reason)
        yield finding


def _is_called_on_copies(file: GoFile, copy: Copy) -> bool:
    """Return whether all calls of a method are on variables that stay copies themselves.

    `a, ok := d.accounts[name]; a.sign()`: a pointer to the copy still locks the copy's lock.
    """
    function = copy.holder.function or copy.holder.up("method_declaration")
    decl = declaration_of(file, function) if function is not None else None
    sites = callers(decl) if decl is not None and not decl.exported else []
    return bool(sites) and all(
        site.call is not None
        and site.call["function"].kind == "selector_expression"
        and (binding := site.file.binding(site.call["function"]["operand"])) is not None
        and _stays_a_copy(site.file, binding)
        for site in sites
    )


def _stays_a_copy(file: GoFile, binding: Binding) -> bool:
    """Return whether a variable is a copy that no fix makes a pointer."""
    return any(
        copy.kind == "assignment"
        and copy.holder is binding.declaration
        and copy.index == binding.index
        and not _finding(file, copy).fixes
        for copy in copies(file)
    )


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
        title, rewrite = fix_of(file, copy)
        edits = rewrite.finished(file.package.workspace)
    except (CannotFollow, BuilderError) as cannot:
        return Finding(file.path, start, end, message, reason=str(cannot), confidence=confidence)
    if any(file.package.workspace.file(edit.path).generated for edit in edits):
        reason = "a generated file would have to follow"
        return Finding(file.path, start, end, message, reason=reason, confidence=confidence)
    if copy.kind in {"assignment", "element"} and rewrite.writes and not rewrite.locks:
        reason = "what is written to the copy would change the original: copy what it needs"
        return Finding(file.path, start, end, message, reason=reason, confidence=confidence)
    meant = not rewrite.locks or copy.node.text.startswith(b"*")
    if copy.kind == "assignment" and meant and _is_handed_out(file, copy):
        reason = "the copy's address is taken, for a value of its own: copy what it needs"
        return Finding(file.path, start, end, message, reason=reason, confidence=confidence)
    reasons = "; ".join(dict.fromkeys([*rewrite.reasons, *_shared(copy, rewrite)]))
    fix = Fix(title, edits, Safety.UNSAFE if reasons else Safety.SAFE, reasons)
    return Finding(file.path, start, end, message, (fix,), confidence=confidence)


def _is_handed_out(file: GoFile, copy: Copy) -> bool:
    """Return whether the address of the variable that an assignment declares goes elsewhere.

    `out := *in; return &out` makes a second value on purpose: a pointer to the first is none.
    """
    holder = copy.holder
    names = holder.all("name") if holder.kind == "var_spec" else holder["left"].children
    binding = file.binding(names[copy.index]) if copy.index < len(names) else None
    for use in binding.uses if binding is not None else ():
        address = use.parent
        if address is not None and address.kind == "unary_expression":
            if address["operator"].kind == "&":
                return True
    return False


def _shared(copy: Copy, rewrite: Rewrite) -> Iterator[str]:
    """Yield why it matters that two parties now share what each had a copy of.

    Whoever uses the lock through the copy meant the shared value, and a bare lock has no
    data. Otherwise a write that went to the copy now goes to the original, and a reader may
    see what others write later.
    """
    if copy.kind in {"assignment", "element"} and _is_used_beside(copy):
        yield "the original is used beside its copy, and the two become one"
        return
    if copy.locks in _BARE or rewrite.locks or rewrite.reasons:
        return
    if rewrite.writes:
        yield "what is written to the copy without its lock is then written to the original"
    elif rewrite.launched:
        yield "a goroutine then reads the original, no longer a copy"
    elif copy.kind in {"assignment", "element"}:
        yield "later changes of the original then show through the pointer"


def _is_used_beside(copy: Copy) -> bool:
    """Return whether the function goes on with the original after the copy, or around it.

    A Lock of one while the other is held, or a Done of each, was right with two locks.
    """
    function = copy.node.function
    if function is None:
        return False
    node = copy.node
    original = node["operand"] if node.kind == "unary_expression" else node
    if copy.kind == "assignment" and target_name(copy) == original.name:
        return False  # `x := x` hides it
    loop = node.up("for_statement")
    start = copy.holder.end
    if loop is not None and function.contains(loop):
        start = loop.start
    pattern = re.compile(rb"(?<![\w.])" + re.escape(original.text) + _NOT_A_KEY)
    text = node.tree.data
    return any(
        not node.start <= hit.start() < node.end
        for hit in pattern.finditer(text, start, function.end)
    )


_NOT_A_KEY = rb"(?!\w|[ \t]*:(?!=))"


def _message(file: GoFile, copy: Copy) -> str:
    what = _described(copy)
    text = " ".join(copy.node.name.split())
    if copy.kind in {"receiver", "parameter"}:
        names = [n.name for n in copy.holder.all("name") if n.text != b"_"]
        function = function_name(copy.holder)
        if len(names) > 1:
            listed = ", ".join(names[:-1]) + " and " + names[-1]
            return f"the parameters {listed} of {function} are copies of {what}"
        word = f"the {copy.kind} {names[0]}" if names else f"a {copy.kind}"
        return f"{word} of {function} is a copy of {what}"
    if copy.kind == "range":
        return f"the loop variable {text} is a copy of {what}"
    what = f"which contains {_lock(copy)}" if len(copy.locks) > 1 else what
    if copy.kind == "assignment":
        return f"{target_name(copy)} is a copy of {text}, {what}"
    if copy.kind == "result":
        return f"{function_name(copy.node)} returns a copy of {text}, {what}"
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
