"""Printing: the String, Error and Format methods that fmt and log call on what they print.

    c.mu.RLock()
    log.Printf("cache: %v", c)      // calls c.String(), which may take the lock again

So does whatever takes a format and its operands as they do: `c.logf("…%v", c)`, `l.Warnf(…)`.

Only methods of the workspace whose own text takes a lock: hardly any, so that most calls
of `fmt` cost nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Named, Pointer

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.workspace import Workspace

__all__ = ["printed", "printed_by", "prints"]

_HEAD = re.compile(rb"\nfunc[ \t]*\((?:\w+[ \t]+)?\*?(\w+)\)[ ](?:String|Error)\(\) string")
_LOCK = re.compile(rb"\.R?Lock\(\)")
_PRINTS = re.compile(r"^(?:(?:Sp|Fp|P)rint|Fatal|Panic|Append)(?:ln|f)?$|^Errorf$")
_FORMATS = re.compile(r"(?i)(?:log|print|debug|info|warn|warning|error|trace|notice|fatal|panic)f$")
_VERB = re.compile(r"%[-+# 0]*(?:\*|\d+)?(?:\.(?:\*|\d+)?)?([a-zA-Z%])")
_SHOWS = frozenset("svxXq")


def prints(file: GoFile, call: Node) -> bool:
    """Return whether a call may run a method of what it prints that takes a lock."""
    function = call["function"]
    name = function.get("field") if function.kind == "selector_expression" else function
    if name is None or (not _FORMATS.search(name.name) and not _PRINTS.match(name.name)):
        return False
    if not _printable(file.package.workspace):
        return False
    if function.kind == "selector_expression" and function["operand"].kind == "identifier":
        operand = function["operand"]
        if file.imported(operand.name) in {"fmt", "log"} and not file.binding(operand):
            return bool(_PRINTS.match(name.name))
    return bool(_FORMATS.search(name.name)) and _takes_format(file, call)


def _takes_format(file: GoFile, call: Node) -> bool:
    """Return whether a call passes a format, written out, and what it is to show.

    `logf func(format string, args ...any)`: what is called so prints, or calls what does.
    """
    arguments = call["arguments"].children
    type_ = file.underlying(file.type_of(call["function"]))
    if not isinstance(type_, Func) or not type_.variadic or len(type_.params) != 2:
        return False
    return len(arguments) > 1 and bool(_verbs(arguments[0])) and f"{type_.params[0]}" == "string"


def printed(file: GoFile, call: Node) -> Iterator[tuple[Node, Decl]]:
    """Yield the arguments that a call prints through a method, and the method."""
    if not prints(file, call):
        return
    function = call["function"]
    name = (function.get("field") or function).name
    own = _PRINTS.match(name) and not _takes_format(file, call)
    arguments = call["arguments"].children
    written = name.startswith(("F", "Append")) and not name.startswith("Fatal")
    first = 1 if own and written else 0
    verbs: list[str] | None = None
    if name.endswith("f"):
        verbs = _verbs(arguments[first]) if first < len(arguments) else None
        first += 1
        if verbs is None:
            return
    for index, argument in enumerate(arguments[first:]):
        if verbs is not None and (index >= len(verbs) or verbs[index] not in _SHOWS):
            continue
        method = _method(file, argument)
        if method is not None:
            yield argument, method


def printed_by(file: GoFile, call: Node, inside: Node) -> tuple[Node, str] | None:
    """Return the argument of `fmt.Print` whose method holds a node, and the method's name."""
    owner = file.package.workspace.file_of(call)
    for argument, method in printed(owner, call):
        if method.node is inside.function:
            return argument, method.name
    return None


def _verbs(format_: Node) -> list[str] | None:
    """Return the verb of each operand; None where they cannot be told one by one."""
    if format_.kind not in {"interpreted_string_literal", "raw_string_literal"}:
        return None
    if "*" in format_.name or "[" in format_.name:
        return None  # widths and indexes that are operands
    verbs = (m for m in _VERB.finditer(format_.name) if m[1] != "%")
    return ["" if "#" in m[0] and m[1] == "v" else m[1] for m in verbs]


def _method(file: GoFile, argument: Node) -> Decl | None:
    """Return the method through which a value is printed: Error comes before String."""
    type_ = file.type_of(argument)
    pointed = isinstance(type_, Pointer)
    named = type_.elem if isinstance(type_, Pointer) else type_
    if not isinstance(named, Named) or named.local:
        return None
    workspace = file.package.workspace
    if (named.package, named.name) not in _printable(workspace):
        return None
    package = workspace.package_by_key(named.package)
    methods = package.methods(named.name) if package is not None else {}
    if "Format" in methods:
        return None
    for name in ("Error", "String"):
        decls = methods.get(name)
        if decls and decls[0].sound and (pointed or not _on_pointer(decls[0])):
            return decls[0]
    return None


def _on_pointer(method: Decl) -> bool:
    """Return whether only a pointer has the method: a value is printed field by field."""
    return b"*" in method.node["receiver"].text


def _printable(workspace: Workspace) -> set[tuple[str, str]]:
    """Return the (package, type) pairs with a String or Error method that takes a lock."""
    known: set[tuple[str, str]] | None = workspace.facts.get("printable")
    if known is None:
        known = workspace.facts["printable"] = set()
        for path in workspace.go_files:
            data = workspace.source(path).data
            if b") String() string" not in data and b") Error() string" not in data:
                continue
            for match in _HEAD.finditer(data):
                end = data.find(b"\n}", match.end())
                if _LOCK.search(data, match.end(), end if end >= 0 else len(data)):
                    known.add((workspace.file(path).package.key, match[1].decode()))
    return known
