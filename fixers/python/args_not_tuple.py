"""Write the comma that makes one argument a tuple

`Thread(target=greet, args=(name))` hands over `name` itself: the parentheses do nothing. A
string is taken apart into one argument per letter, a number is no sequence at all, and the
`TypeError` appears in the thread, where nobody waits for it.

Not reported: arguments without parentheses, which may hold a tuple; tuples, lists and calls
that make one; names of what `zip`, `enumerate`, `.items()` and their like give, of what an
annotation calls a tuple or a list; a starred value.

Unsafe: a value that nothing tells what it is, and that may hold the arguments.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Iterator, Set

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.arguments import argument, given_to, keyword
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import Site, parent

from ._rows import is_row, is_single

CATEGORY = "thread"
GATE = rb"args\s*=\s*\(|Timer\b|Thread\(None|Process\(None|\.apply"

_KINDS = frozenset({"thread", "timer", "process", "process-pool", "pool"})
_POSITIONS = {"timer": 2, "thread": 3, "process": 3}
_OPEN = re.compile(rb"[=,]\s*\(\s*")
_CLOSE = re.compile(rb"(?:\s|#[^\n]*\n)*\)")
_SINGLE = frozenset({"str", "int", "float", "bool", "len", "repr", "abs", "round", "open", "id"})
"""What makes one value, which no thread can take apart as arguments."""
_SEQUENCES = (ast.Tuple, ast.List, ast.GeneratorExp, ast.ListComp, ast.Starred, ast.Call,
              ast.NamedExpr, ast.IfExp, ast.BoolOp, ast.Await)  # fmt: skip


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the arguments of threads, timers and processes that lack the comma."""
    for spawn in file.spawns:
        if spawn.kind not in _KINDS or spawn.through or not isinstance(spawn.node, ast.Call):
            continue
        at = 1 if _is_apply(spawn.node) else _POSITIONS.get(spawn.kind, 99)
        yield from _wrong(file, argument(spawn.node, at, "args"), spawn.target)
    spawned = {spawn.node for spawn in file.spawns if not spawn.through}
    for call in file.nodes(ast.Call):
        if call not in spawned and any(_closing(file, value) for value in given_to(call)):
            for given, target in _handed_to(file, call):
                yield from _wrong(file, given, target)


def _wrong(file: PythonFile, value: ast.expr | None, target: Function | None) -> Iterator[Finding]:
    """Yield the finding about the arguments of a target that are none."""
    if value is None or _is_sequence_of(file, value):
        return
    close = _closing(file, value)
    if close is None or _is_tuple(file, value) or _takes_several(target):
        return
    start, end = file.span(value)
    text = file.text(value)
    title, edits = f"Make ({text},) a tuple", (Edit(file.path, end, end, b","),)
    if is_single(file, value):
        fix = Fix(title, edits)
    else:
        fix = Fix(title, edits, Safety.UNSAFE, f"nothing tells what {text} is: it may be a tuple")
    said = f"({text}) is not a tuple: the target gets {_gets(value)}"
    yield Finding(file.path, start, end, said, fixes=(fix,))


def _handed_to(
    file: PythonFile, call: ast.Call
) -> Iterator[tuple[ast.expr | None, Function | None]]:
    """Yield the arguments that a helper is given for the thread it makes, and the target of that:
    `spawn(f, args=(x))`, where `spawn` says `Thread(target=f, **options)` or
    `Thread(target=f, args=args)`.
    """
    helper = function_of(file, call.func)
    if helper is None or helper.name == "__init__":
        return
    for spawn in helper.file.spawns:
        made = spawn.node
        if spawn.kind not in _KINDS or made not in helper.calls or not isinstance(made, ast.Call):
            continue
        args = argument(made, _POSITIONS.get(spawn.kind, 99), "args")
        if args is None and _hands_on_keywords(helper, made):
            yield keyword(call, "args"), function_of(file, _for(helper, call, spawn.target_node))
            return
        if _is_parameter(helper, args):
            given = _for(helper, call, args)
            yield given, function_of(file, _for(helper, call, spawn.target_node))
            return


def _hands_on_keywords(helper: Function, made: ast.Call) -> bool:
    """Return whether a call gets the keywords that its function is called with: `**options`."""
    kwarg = helper.node.args.kwarg
    names = [k.value.id for k in made.keywords if not k.arg and isinstance(k.value, ast.Name)]
    return kwarg is not None and kwarg.arg in names


def _is_parameter(helper: Function, node: ast.expr | None) -> bool:
    """Return whether a node is what a function was given, as it was."""
    binding = helper.file.binding(node)
    if binding is None or binding.scope is not helper.scope:
        return False
    rest = {helper.node.args.vararg, helper.node.args.kwarg}
    return [s.kind for s in binding.sites] == ["parameter"] and binding.sites[0].node not in rest


def _for(helper: Function, call: ast.Call, node: ast.expr | None) -> ast.expr | None:
    """Return what a call gives a helper for one of its parameters."""
    if not isinstance(node, ast.Name):
        return None
    at = helper.parameters.index(node.id) if node.id in helper.parameters else 99
    return argument(call, at - int(helper.self_name is not None), node.id)


def _is_apply(call: ast.Call) -> bool:
    """Return whether a call is `pool.apply_async(function, args)`."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in {"apply", "apply_async"}


def _gets(value: ast.expr) -> str:
    if isinstance(value, ast.Constant | ast.JoinedStr):
        return "no argument" if not isinstance(getattr(value, "value", ""), str) else "its letters"
    return "what is in it, one by one"


def _is_sequence_of(file: PythonFile, value: ast.expr) -> bool:
    """Return whether a tuple, a list or a call makes the arguments, or an operation on them:
    `((1,) + rest)`.
    """
    if isinstance(value, ast.BinOp):
        return _is_sequence_of(file, value.left) or _is_sequence_of(file, value.right)
    if isinstance(value, ast.Call) and file.qualified(value.func) in _SINGLE:
        return False
    return isinstance(value, _SEQUENCES)


def _is_tuple(file: PythonFile, value: ast.expr) -> bool:
    """Return whether a name in superfluous parentheses holds several arguments, or may."""
    if isinstance(value, ast.Constant | ast.JoinedStr):
        return False
    if isinstance(value, ast.Name) and value.id in {"args", "params", "arguments"}:
        return True
    if is_row(file, value):
        return True
    binding = file.binding(value)
    return binding is not None and any(
        _holds_several(site) or _is_vararg(site.node) for site in binding.sites
    )


def _holds_several(site: Site) -> bool:
    """Return whether a variable is set to a list or a tuple, or loops over one of such."""
    if not isinstance(site.value, ast.Tuple | ast.List):
        return False
    plain = all(isinstance(one, ast.Constant | ast.JoinedStr) for one in site.value.elts)
    return not (site.kind == "for" and plain)


def _is_vararg(node: ast.AST) -> bool:
    above = parent(node)
    return isinstance(above, ast.arguments) and node in {above.vararg, above.kwarg}


def _takes_several(target: Function | None) -> bool:
    """Return whether the target cannot do with one argument: then the value holds them all."""
    if target is None or isinstance(target.node, ast.Lambda):
        return False
    arguments = target.node.args
    bound = 1 if target.cls is not None and not target.is_static else 0
    needed = len(target.parameters) - len(arguments.defaults) - bound
    return needed > 1 or (len(target.parameters) == bound and arguments.vararg is None)


def _opening(file: PythonFile) -> Set[int]:
    """Return the lines where a parenthesis that opens behind `=` or `,` ends what stands before a
    value: most calls have none.
    """
    known: set[int] | None = file.__dict__.get("_opening_lines")
    if known is None:
        starts = file.tree.starts
        known = {bisect_right(starts, found.end()) for found in _OPEN.finditer(file.data)}
        file.__dict__["_opening_lines"] = known
    return known


def _closing(file: PythonFile, value: ast.expr) -> int | None:
    """Return where the parenthesis right behind a value closes, None without a pair of its own."""
    if value.lineno not in _opening(file):
        return None
    start, end = file.span(value)
    before = file.data[:start].rstrip()
    if not before.endswith(b"(") or not before[:-1].rstrip().endswith((b"=", b",")):
        return None
    found = _CLOSE.match(file.data, end)
    return None if found is None else found.end()
