"""Set-up and tear-down: code that runs while nobody else can use an object.

By what it does (the object was made in this very function, or is a local copy), by name
(`newServer`, `init`, `Close`, `UnmarshalJSON`), by what it says ("must be called before Start"),
also for helpers that only such code calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.calls import Site, code_callers, own_callers
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.kept_literals import runs_later
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Struct

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = [
    "is_cleared_once",
    "is_local_value",
    "is_made_here",
    "is_setup",
    "made_by_setup",
    "makes",
    "makes_another",
    "runs_once",
    "runs_only_once",
    "tears_down_early",
]

_NAME = re.compile(
    r"(?:[Nn]ew|[Ii]nit(?:ial(?:i[sz]e)?)?|[Mm]ake|[Cc]reate|[Bb]uild|[Ss]tart|[Oo]pen|[Ss]et[Uu]p"
    r"|[Hh]andshake|[Cc]lose|[Ss]top|[Ss]hutdown|[Tt]eardown|[Tt]est|[Bb]enchmark|[Pp]rovision|[Dd]estroy"
    r"|(?!(?:[Ll]azy|[Ee]nsure|[Mm]aybe|[Rr]e|[Oo]nce))\w*[a-z]Init$|[Bb]oot$"
    r"|[Pp]re(?:[A-Z]\w*)?(?:Run|Start)$|\w*(?:[Ss]et|[Aa]pply|[Ff]ill)Defaults?(?:Values)?$"
    r"|Prepare(?![A-Z])|[Cc]leanup|[Cc]onfigure|[Rr]epair|[Oo]nStart|main|[Bb]ootstrap|[Ll]oad(?:Existing|Initial)"
    r"|[Uu]nmarshal(?:JSON|Text|Binary|YAML|TOML|XML|BSON)?|GobDecode|FromProto)(?![a-z])"
)
_MAKERS = re.compile(
    r"(?:[Nn]ew|[Mm]ake|[Cc]reate|[Cc]lone|(?:[Dd]eep)?[Cc]opy|[Bb]uild|[Dd]efault)(?![a-z])"
)


def is_made_here(file: GoFile, node: Node, base: Access | None) -> bool:
    """Return whether the object at an access was made in this very function."""
    if base is None or not isinstance(base.root, Binding):
        return False
    binding = base.root
    if binding.function is not node.function:
        return False
    declaration = binding.declaration
    if _is_made_above(binding, node):
        return True
    if declaration.kind == "var_spec" and declaration.get("value") is None:
        return declaration.get("type") is not None and declaration["type"].kind != "pointer_type"
    if declaration.kind not in {"short_var_declaration", "var_spec"} or not binding.values:
        return False
    return makes(binding.value or binding.values[0])


_INIT = re.compile(r"(?:[Ii]nit|[Ss]et[Uu]p|[Pp]repare)(?![a-z])|[Ii]nitiali[sz]e")


def made_by_setup(file: GoFile, method: Node) -> bool:
    """Return whether all calls of a method are on an object that the caller has just made.

    `t := &Tunnel{conn: conn}; t.Init()`: what it makes, it makes once for each. Nobody else
    calls it by what its name says, or can.
    """
    decl = declaration_of(file, method)
    if decl is None or (decl.exported and not _INIT.match(decl.name)):
        return False
    sites = code_callers(decl)
    bases = [_called_on(site) for site in sites]
    objects = {(base.root, base.steps) for base in bases if base is not None}
    return bool(sites) and None not in bases and len(objects) == len(sites)


def _called_on(site: Site) -> Access | None:
    """Return the object of a call, where the function that calls has made it."""
    selector = site.call["function"] if site.call is not None else None
    if selector is None or selector.kind != "selector_expression" or site.launched:
        return None
    base = access_of(site.file, selector["operand"])
    if base is None or not isinstance(base.root, Binding):
        return None
    if not is_made_here(site.file, selector, base):
        return None
    loop = next((a for a in selector.ancestors() if a.kind == "for_statement"), None)
    inside = loop is None or loop.contains(base.root.node) or loop.function is not selector.function
    return base if inside else None


def _is_made_above(binding: Binding, node: Node) -> bool:
    """Return whether the last assignment above a node, in its block, makes the object, and the
    variable has only been used for the object's own fields since.

    `if e == nil { e = new(entry); e.count = 1; m[key] = e }`
    """
    statement = node.statement
    block = statement.parent if statement is not None else None
    if statement is None or block is None:
        return False
    for above in reversed(block.statements):
        if above.start >= statement.start:
            continue
        uses = [use for use in binding.uses if above.contains(use)]
        if above.kind == "assignment_statement" and above["left"].text == binding.name.encode():
            return above["operator"].kind == "=" and makes(above["right"].children[0])
        if any(use.field != "operand" for use in uses):
            return False
    return False


def makes(value: Node) -> bool:
    """Return whether an expression makes an object: a literal, or a call by its name."""
    if value.kind == "unary_expression" and value["operator"].kind == "&":
        value = value["operand"]
    if value.kind == "composite_literal":
        return True
    function = value.get("function") if value.kind == "call_expression" else None
    if function is None:
        return False
    last = function["field"] if function.kind == "selector_expression" else function
    return bool(_MAKERS.match(last.name))


def is_local_value(file: GoFile, node: Node) -> bool:
    """Return whether an operand is (a part of) a struct that is a local variable itself.

    A value receiver, a parameter or variable that holds a copy: no pointer leads to it.
    """
    while True:
        if node.kind == "parenthesized_expression":
            node = node.children[0]
            continue
        under = file.underlying(file.type_of(node))
        if not isinstance(under, Struct | Array):
            return False
        if node.kind == "identifier":
            meant = file.resolve(node)
            return isinstance(meant, Binding)
        if node.kind not in {"selector_expression", "index_expression"}:
            return False
        node = node["operand"]


def is_setup(file: GoFile, node: Node) -> bool:
    """Return whether code only sets up or tears down, by its function's name or its callers'.

    A goroutine that such a function launches, and does not wait for, runs beside the others, and so
    does a literal that it only returns or hands over to be kept. A method that makes something
    else does not set up its own object.
    """
    function = node.function
    while function is not None and function.kind == "func_literal":
        if launch_of_literal(file, function) is not None:
            if not _is_awaited(function):
                return False
        elif runs_later(file, function, node):
            return False
        if function.function is None:
            break
        function = function.function
    if function is None or function.get("name") is None:
        return True  # the initialiser of a package variable
    if _NAME.match(function["name"].name) and not makes_another(file, node):
        return True
    if _is_for_tests(function) or _gives_back(function):
        return True
    known: dict[Node, bool] = file.package.facts.setdefault("comes before", {})
    if function not in known:
        known[function] = _comes_before(file, function)
    if known[function]:
        return True
    decl = declaration_of(file, function)
    return decl is not None and only_from_setup(decl)


def _is_awaited(literal: Node) -> bool:
    """Return whether a constructor comes to `wg.Wait()` whatever happens behind a launch.

    Or to `return g.Wait()`, `if err := g.Wait(); err != nil`. A method that is called Start or Stop
    waits while others use its object.
    """
    function = literal.function
    body = function.get("body") if function is not None else None
    if function is None or body is None or function.get("name") is None:
        return False
    if not _AWAITING.match(function["name"].name):
        return False
    return any(
        statement.start > literal.end
        and any(call["function"].name.endswith(".Wait") for call in head.find("call_expression"))
        for statement in body.statements
        for head in _heads(statement)
    )


_AWAITING = re.compile(rf"{_MAKERS.pattern}|(?:[Oo]pen|[Ll]oad|[Rr]estore|[Ii]nit)(?![a-z])")
_PLAIN = frozenset(
    {
        "assignment_statement",
        "expression_statement",
        "return_statement",
        "short_var_declaration",
    }
)


def _heads(statement: Node) -> list[Node]:
    """Return what runs of a statement whenever the function comes to it."""
    if statement.kind == "if_statement":
        parts = (statement.get("initializer"), statement.get("condition"))
        return [part for part in parts if part is not None]
    return [statement] if statement.kind in _PLAIN else []


_MAKES = re.compile(r"(?:[Nn]ew|[Mm]ake|[Cc]reate|[Bb]uild|[Oo]pen)(?![a-z])")


def makes_another(file: GoFile, node: Node) -> bool:
    """Return whether a method makes another object, and a node is about its own one.

    `func (s *Server) newSession() *Session`, `func (d *Driver) Open(name string) (Conn, error)`.
    """
    function = outer_function(node)
    if function is None or not _MAKES.match(function["name"].name):
        return False
    receiver, results = function.get("receiver"), function.get("result")
    if receiver is None or results is None:
        return False
    root = file.binding(next(node.find("identifier"), node))
    if root is None or root.kind != "receiver":
        return False
    made = next((n.name for n in results.find("type_identifier", "qualified_type")), "")
    owner = {n.name for n in receiver.find("type_identifier")}
    return made not in {"", "error", "bool", *owner}


_ENDS = re.compile(r"(?:[Cc]lose|[Ss]top|[Ss]hutdown|[Tt]eardown|[Dd]estroy|[Cc]leanup)(?![a-z])")
_WAITS = re.compile(rb"Wait\w*\(|<-|\b[Jj]oin\w*\(")


def tears_down_early(file: GoFile, node: Node) -> bool:
    """Return whether a method ends the work of its object, and has waited for nobody yet."""
    function = outer_function(node)
    return (
        function is not None
        and function.get("receiver") is not None
        and _ENDS.match(function["name"].name) is not None
        and _WAITS.search(file.data, function.start, node.start) is None
    )


def _gives_back(function: Node) -> bool:
    """Return whether a method returns its object to a pool: whoever does so is the last user."""
    receiver, body = function.get("receiver"), function.get("body")
    names = [n.name for n in receiver.find("identifier")] if receiver is not None else []
    last = body.statements[-1] if body is not None and body.statements else None
    return last is not None and any(last.text.endswith(f".Put({n})".encode()) for n in names)


_SAYS_BEFORE = re.compile(
    rb"(?i)\b(?:must|should|has to|have to|needs? to|may|can) (?:only )?be (?:\w+ )?before\b"
    rb"|\b(?:must|should|has to|have to|needs? to) be called\b.{0,240}?\bbut before\b"
    rb"|\bmust not be (?:\w+ )?after\b|\bonly before\b"
    rb"|\bnot safe to (?:\w+\W+){1,8}?after\b"
    rb"|\b(?:must|should|may|can)(?: ?not|'t) be (?:re)?used (?:again|after|any ?more)\b"
)
_SAYS_ONCE = re.compile(
    rb"(?i)\b(?:must|should) (?:only )?be called (?:only |exactly |just )?once\b"
)
_LASTS = re.compile(rb"\bgo [\w(]|\bfor \{|\bselect \{|\bWait\(\)")
_PANICS_BEFORE = re.compile(rb"\bpanic\([^\n]*\b(?:before|after)\b")


def _comes_before(file: GoFile, function: Node) -> bool:
    """Return whether a function says that it is called before the object is in use.

    In its comment, or by a panic: `panic("SetKinds must be called before Start")`.
    """
    end, body = file.source.line_start(function.start), function.get("body")
    if body is not None and _PANICS_BEFORE.search(body.text):
        return True
    start = end
    for comment in reversed(file.tree.comments_in(max(0, start - 2000), start)):
        if file.data[comment.end : start].strip():
            return False
        said = b" ".join(file.data[comment.start : end].split(b"\n// "))
        if _SAYS_BEFORE.search(said):
            return True
        if _SAYS_ONCE.search(said) and body is not None and not _LASTS.search(body.text):
            return True
        start = comment.start
    return False


_FOR_TESTS = re.compile(r"For_?Test|TestOnly|[Tt]est_?[Hh]ook|InTest")


def _is_for_tests(function: Node) -> bool:
    """Return whether a function's name, or its receiver's, says that tests alone call it."""
    receiver = function.get("receiver")
    owner = receiver.name if receiver is not None else ""
    return bool(_FOR_TESTS.search(function["name"].name) or _FOR_TESTS.search(owner))


def only_from_setup(decl: Decl) -> bool:
    """Return whether only set-up code calls a function, some levels up.

    An exported one has to have callers in the project, all of them code that begins something.
    """
    known: dict[tuple[str, int], bool] = decl.file.package.facts.setdefault("setup", {})
    if decl.key not in known:
        known[decl.key] = False  # a function that calls itself
        open_ = decl.exported and not decl.receiver[:1].islower()
        known[decl.key] = _only_begins(decl) if open_ else _only(decl)
    return known[decl.key]


_BEGINS = re.compile(
    r"(?:[Nn]ew|[Ii]nit(?:ial(?:i[sz]e)?)?|[Mm]ake|[Cc]reate|[Bb]uild|[Oo]pen|[Ss]et[Uu]p"
    r"|[Pp]rovision|[Bb]oot(?:strap)?|main)(?![a-z])"
)
_LAUNCHES = re.compile(rb"\bgo\s+[\w(]|\.Go\(|\.(?:ListenAnd)?Serve\w*\(|\.Start\(|\.Run\(")


def _only_begins(decl: Decl) -> bool:
    """Return whether the project calls an exported function only to begin something.

    In `main`, where nothing runs yet that could meet it. What takes a lock is made for others.
    """
    if LOCK_CALLS.search(decl.file.data, decl.node.start, decl.node.end):
        return False
    sites = code_callers(decl)
    for site in sites:
        function = outer_function(site.node)
        if function is None:
            continue  # the initialiser of a package variable
        if site.call is None or site.launched or site.node.function is not function:
            return False
        if _LAUNCHES.search(site.file.data, function.start, site.node.start):
            return False
        if site.node.up("for_statement") is not None and function["name"].name == "main":
            return False
        if not _BEGINS.match(function["name"].name):
            above = declaration_of(site.file, function)
            if above is None or not only_from_setup(above):
                return False
        elif makes_another(site.file, site.node):
            return False
    return bool(sites)


def _only(decl: Decl) -> bool:
    called = False
    for site in own_callers(decl, _SET_UP):
        if site.call is not None and not site.launched and decl.node.contains(site.node):
            continue  # it calls itself
        if site.call is None or site.launched or not is_setup(site.file, site.node):
            return False
        called = True
    return called


_SET_UP = re.compile(rb"\bfunc\s*(?:\([^)]*\)\s*)?(?:[Nn]ew|[Ii]nit|[Ss]tart|[Oo]nStart|main\b)")


def runs_only_once(file: GoFile, node: Node, depth: int = 3) -> bool:
    """Return whether a node is inside of `once.Do(func() {…})`, or of what only that calls."""
    if runs_once(node):
        return True
    function = outer_function(node)
    decl = declaration_of(file, function) if function is not None and depth > 0 else None
    if decl is None or decl.exported:
        return False
    sites = list(own_callers(decl, _SET_UP))
    return bool(sites) and all(runs_only_once(s.file, s.node, depth - 1) for s in sites)


def runs_once(node: Node) -> bool:
    """Return whether a node is inside of `once.Do(func() {…})`."""
    return _once_around(node) is not None


def _once_around(node: Node) -> Node | None:
    for above in node.ancestors():
        if above.kind == "call_expression" and above["function"].kind == "selector_expression":
            # A Once takes the function alone, a singleflight.Group a key before it.
            if above["function"]["field"].name == "Do" and len(above["arguments"].children) <= 2:
                return above
    return None


def is_cleared_once(node: Node) -> bool:
    """Return whether `once.Do(func() {…})` around a node empties what the node names.

    That is no set-up: who uses it has been there before.
    """
    once, name = _once_around(node), node.text
    for statement in once.find("assignment_statement") if once is not None else ():
        target, value = statement["left"].children[0], statement["right"].children[0]
        if value.kind == "nil" and target.text == name:
            return True
    return False
