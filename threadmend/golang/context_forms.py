"""Context forms: the variant of a call that takes a context, `db.Query` and `db.QueryContext`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_import,
    free_name,
    import_name,
    names_of_file,
    package_name,
    taken_names,
)
from threadmend.golang.builders.signatures import parameters
from threadmend.golang.functions import result_nodes
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.golang.uses import declaration_of
from threadmend.model import Edit

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.workspace import Workspace

__all__ = ["Form", "context_form", "names_with_forms"]

_SUFFIXES = ("Context", "WithContext", "Ctx")
_LOGS = re.compile(
    r"(?:[Ll]og|[Tt]race|[Dd]ebug|[Ii]nfo|[Nn]otice|[Ww]arn(?:ing)?|[Ee]rror|[Cc]ritical|[Ff]atal"
    r"|[Pp]rint)(?![a-z]{4})"
)


@dataclass(frozen=True, slots=True)
class Form:
    """A call that can be given a context.

    `old` and `new` are the names to speak of; `write(ctx)` returns the edits, or raises
    BuilderError with the reason why none can be made. `carries`: the context is only read
    for its values, never waited for. `takes_over`: it is only for taking a prepared statement
    over into a transaction, which seldom waits; the statement gets a context when it runs.
    """

    old: str
    new: str
    write: Callable[[str], tuple[Edit, ...]]
    carries: bool = False
    takes_over: bool = False


def context_form(file: GoFile, call: Node) -> Form | None:
    """Return the form of a call that takes a context, if there is one."""
    function = call["function"]
    decl = file.callee(call)
    if decl is None or function.kind not in {"identifier", "selector_expression"}:
        return None
    package = decl.file.package
    if (package.module is None and "." in package.path) or _is_vendored(decl):
        return None  # another module's API: what its variants promise is not known
    special = _SPECIAL.get(f"{package.path}.{decl.name}") if decl.kind == "func" else None
    if special is not None:
        return special(file, call)
    method = _METHODS.get(f"{package.path}.{decl.receiver}.{decl.name}")
    if method is not None:
        return method(file, call)
    other = _twin(decl)
    if other is None or (other.file.is_test and not file.is_test) or _is_inside(file, call, other):
        return None
    if _asks_again(decl, other):
        return None
    name = function["field"] if function.kind == "selector_expression" else function

    def write(context: str) -> tuple[Edit, ...]:
        renamed = Edit(file.path, name.start, name.end, other.name.encode())
        return (renamed, *add_argument(call, context))

    new = function.name[: name.start - function.start] + other.name
    carries = package.path == "log/slog" or bool(_LOGS.match(decl.name))
    return Form(function.name, new, write, carries, _takes_over(other))


_TAKES_OVER = re.compile(rb"\bStmtContext\((\w+), ")


def _takes_over(other: Decl) -> bool:
    """Return whether a twin's context is for `tx.StmtContext(ctx, stmt)` alone."""
    names = parameters(other.header)
    body = other.node["body"].text if other.has_body else b""
    found = _TAKES_OVER.search(body)
    if found is None or names[0].name is None or names[0].name.text != found[1]:
        return False
    return len(re.findall(rb"\b" + found[1] + rb"\b", body)) == 1


def _is_vendored(decl: Decl) -> bool:
    return "vendor" in decl.file.path.split("/")[:-1]


# -- twins -----------------------------------------------------------------------------


def _twin(decl: Decl) -> Decl | None:
    """Return `FooContext(ctx, …)` for `Foo(…)`: the same parameters behind a context."""
    package = decl.file.package
    for suffix in _SUFFIXES:
        if decl.kind == "method":
            found = package.methods(decl.receiver).get(decl.name + suffix, [])
        else:
            found = [d for d in package.lookup_all(decl.name + suffix) if d.kind == "func"]
        if len(found) == 1 and _is_twin(decl, found[0]):
            return found[0]
    return None


def _is_twin(decl: Decl, other: Decl) -> bool:
    taken, wanted = parameters(other.header), parameters(decl.header)
    if not taken or not is_named(other.file.type_from(taken[0].type), "context.Context"):
        return False
    types = [(p.type.text, p.variadic) for p in taken[1:]]
    if types != [(p.type.text, p.variadic) for p in wanted]:
        return False
    results = [[r.text for r in result_nodes(d.header)] for d in (decl, other)]
    return results[0] == results[1]


def _is_inside(file: GoFile, call: Node, other: Decl) -> bool:
    """Return whether a call stands in the twin itself, which is built on it."""
    top = file.tree.declaration_at(call.start)
    decl = declaration_of(file, top.node) if top is not None else None
    return decl is not None and decl.key == other.key


def _asks_again(decl: Decl, other: Decl) -> bool:
    """Return whether the twin calls the plain function in a loop: it waits until that has an
    answer, which whoever calls the plain one does not want to.
    """
    return any(
        called is not None and called.key == decl.key
        for loop in (other.node.find("for_statement") if other.has_body else ())
        for call in loop.find("call_expression")
        for called in [other.file.callee(call)]
    )


def names_with_forms(workspace: Workspace) -> tuple[str, ...]:
    """Return the names of functions that may have a form with a context."""
    known: tuple[str, ...] | None = workspace.facts.get("context_forms")
    if known is None:
        names = set(_STANDARD)
        for package in workspace.packages:
            names.update(_bases(package))
        known = workspace.facts["context_forms"] = tuple(sorted(names))
    return known


# A function of such a name: a package without one need not be parsed.
_DECLARES = re.compile(
    rb"func\s*(?:\((?:[^()]|\([^()]*\))*+\)\s*)?\w+(?:"
    + "|".join(_SUFFIXES).encode()
    + rb")\s*[(\[]"
)


def _bases(package: Package) -> set[str]:
    sources = (package.workspace.source(path).data for path in package.file_paths)
    if not any(_DECLARES.search(data) for data in sources):
        return set()
    declared = {d.name for d in package.functions()}
    bases = {n.removesuffix(s) for n in declared for s in _SUFFIXES if n.endswith(s)}
    return bases & declared


_STANDARD = (
    *("Command", "NewRequest", "Get", "Head", "Post", "PostForm", "Dial", "DialTimeout"),
    *("Query", "QueryRow", "Exec", "Prepare", "Begin", "Ping", "Handshake"),
    *("LookupHost", "LookupAddr", "LookupCNAME", "LookupMX", "LookupNS", "LookupTXT"),
    *("LookupSRV", "LookupPort", "LookupIP", "Debug", "Info", "Warn", "Error"),
)

# -- forms that are no twins -------------------------------------------------------------


def _dial(file: GoFile, call: Node) -> Form | None:
    arguments = call["arguments"].children
    function = call["function"]
    if function.kind != "selector_expression" or any(a.kind.startswith("var") for a in arguments):
        return None
    package = function["operand"].name
    limited = function["field"].name == "DialTimeout"
    if len(arguments) != 2 + limited:
        return None

    def write(context: str) -> tuple[Edit, ...]:
        listed = call["arguments"]
        if file.tree.comments_in(call.start, call.end):
            raise BuilderError("a comment in the call is in the way")
        inner = f"Timeout: {_spaced(arguments[2])}" if limited else ""
        made = f"(&{package}.Dialer{{{inner}}}).DialContext"
        edits = [
            Edit(file.path, function.start, function.end, made.encode()),
            Edit(file.path, arguments[0].start, arguments[0].start, f"{context}, ".encode()),
        ]
        if limited:
            edits.append(Edit(file.path, arguments[1].end, listed.end - 1, b""))
        return tuple(edits)

    return Form(function.name, f"{package}.Dialer.DialContext", write)


def _spaced(value: Node) -> str:
    """Return `3*time.Second` as gofmt has it outside of an argument list."""
    operations = list(value.find("binary_expression"))
    if not operations:
        return value.name
    if len(operations) > 1 or operations[0] is not value:
        raise BuilderError("the time limit is computed in place")
    return f"{value['left'].name} {value['operator'].name} {value['right'].name}"


def _lookup(file: GoFile, call: Node) -> Form | None:
    function = call["function"]
    if function.kind != "selector_expression":
        return None
    package, name = function["operand"].name, function["field"].name
    new = f"{package}.DefaultResolver.{name}"

    def write(context: str) -> tuple[Edit, ...]:
        renamed = Edit(file.path, function.start, function.end, new.encode())
        given = f'{context}, "ip"' if name == "LookupIP" else context
        return (renamed, *add_argument(call, given))

    return Form(function.name, new, write)


def _begin(file: GoFile, call: Node) -> Form | None:
    function = call["function"]
    if function.kind != "selector_expression":
        return None
    name = function["field"]

    def write(context: str) -> tuple[Edit, ...]:
        renamed = Edit(file.path, name.start, name.end, b"BeginTx")
        return (renamed, *add_argument(call, f"{context}, nil"))

    return Form(function.name, f"{function['operand'].name}.BeginTx", write)


def _fetch(file: GoFile, call: Node) -> Form | None:
    function = call["function"]
    if function.kind != "selector_expression":
        return None
    return Form(function.name, "http.NewRequestWithContext", lambda ctx: _request(file, call, ctx))


def _request(file: GoFile, call: Node, context: str) -> tuple[Edit, ...]:
    """Write `resp, err := http.Get(url)` as a request with a context that a client does.

    req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
    if err != nil { … }           // as after the call
    resp, err := http.DefaultClient.Do(req)
    if err != nil { … }
    """
    statement, test = _assigned_and_tested(file, call)
    package = package_name(file.tree, "net/http")
    function = call["function"]
    name = function["field"].name
    arguments = [a.name for a in call["arguments"].children]
    body = arguments[2] if name == "Post" else "nil"
    imports: tuple[Edit, ...] = ()
    if name == "PostForm":
        strings = import_name(file.tree, "strings")
        imports = () if strings else add_import(file.tree, "strings")
        body = f"{strings or 'strings'}.NewReader({arguments[1]}.Encode())"
    method = f"{package}.Method{'Post' if name == 'PostForm' else name}"
    outer = call.function
    request = free_name("req", taken_names(*([outer] if outer else []), names=names_of_file(file)))
    err = statement["left"].children[1].name
    indent = file.data[file.source.line_start(statement.start) : statement.start]
    newline = file.source.newline
    lines = [
        f"{request}, {err} := {package}.NewRequestWithContext("
        f"{context}, {method}, {arguments[0]}, {body})",
        test.name,
    ]
    if name in {"Post", "PostForm"}:
        kind = arguments[1] if name == "Post" else '"application/x-www-form-urlencoded"'
        lines.append(f'{request}.Header.Set("Content-Type", {kind})')
    head = b"".join(line.encode() + newline + indent for line in lines)
    operand = function["operand"].name
    client = f"{package}.DefaultClient" if file.imported(operand) == "net/http" else operand
    return (
        Edit(file.path, statement.start, statement.start, head),
        Edit(file.path, call.start, call.end, f"{client}.Do({request})".encode()),
        *imports,
    )


def _assigned_and_tested(file: GoFile, call: Node) -> tuple[Node, Node]:
    """Return `resp, err := call` and the `if err != nil {…}` behind it."""
    statement = call.statement
    test = statement.next if statement is not None else None
    if (
        statement is None
        or statement.kind != "short_var_declaration"
        or statement["right"].children != [call]
        or test is None
        or test.kind != "if_statement"
    ):
        raise BuilderError("the call is no `resp, err :=` with `if err != nil` behind it")
    names = [n.name for n in statement["left"].children]
    plain = (
        len(names) == 2
        and "_" not in names
        and test["condition"].text == (f"{names[1]} != nil".encode())
    )
    leaves = test["consequence"].statements
    if not plain or test.get("initializer") or test.get("alternative") or not leaves:
        raise BuilderError("the call is no `resp, err :=` with `if err != nil` behind it")
    if leaves[-1].kind not in {"return_statement", "continue_statement"} and not re.match(
        rb"(?:panic|log\.Fatal\w*|os\.Exit|\w+\.Fatalf?)\(", leaves[-1].text
    ):
        raise BuilderError("the error is not left at once")
    if any(n.name == names[0] for n in test.find("identifier")):
        raise BuilderError("the response is used together with the error")
    if file.tree.comments_in(statement.start, test.end):
        raise BuilderError("a comment at the call would be written twice")
    return statement, test


_SPECIAL: dict[str, Callable[[GoFile, Node], Form | None]] = {
    "net.Dial": _dial,
    "net.DialTimeout": _dial,
    **{f"net.{name}": _lookup for name in _STANDARD if name.startswith("Lookup")},
    **{f"net/http.{name}": _fetch for name in ("Get", "Head", "Post", "PostForm")},
}
_METHODS: dict[str, Callable[[GoFile, Node], Form | None]] = {
    "database/sql.DB.Begin": _begin,
    "database/sql.Conn.Begin": _begin,
    **{f"net/http.Client.{name}": _fetch for name in ("Get", "Head", "Post", "PostForm")},
}
