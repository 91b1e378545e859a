"""Control flow of Go functions: exits, paths, loops, conditions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from threadmend.golang.flow import Exit, Flow, Point, flow_of
from threadmend.golang.syntax import FUNCTIONS, Node, SyntaxTree
from threadmend.source import SourceFile


def function(body: str, signature: str = "func f()", path: str = "a.go") -> Node:
    source = SourceFile(path, f"package p\n\n{signature} {{\n{body}\n}}\n".encode())
    tree = SyntaxTree(source)
    assert not tree.errors, body
    return tree.declarations[1].node


def flow(body: str, signature: str = "func f()", path: str = "a.go") -> Flow:
    return flow_of(function(body, signature, path))


def at(flow: Flow, text: str) -> Point:
    """Return the first point whose text begins so."""
    return next(p for p in flow.points[1:-1] if p.node.text.startswith(text.encode()))


def holds(text: str) -> Callable[[Point], bool]:
    """Return whether a point evaluates a call that is written so."""
    call = text.encode()
    return lambda point: any(node.text == call for node in point.own())


def shown(exits: list[Exit]) -> list[str]:
    """Return exits as their kind, with the statement's first line where it says more."""
    found = []
    for exit_ in exits:
        first = exit_.node.text.split(b"\n")[0].decode()
        found.append(exit_.kind if exit_.kind in {"end", "blocked"} else f"{exit_.kind}: {first}")
    return found


EXITS = {
    "empty": ("", ["end"]),
    "one call": ("a()", ["end"]),
    "return": ("return", ["return: return"]),
    "dead code": ("return\na()\nreturn 1", ["return: return"]),
    "if": ("if x {\nreturn 1\n}", ["return: return 1", "end"]),
    "if else": (
        "if x {\nreturn 1\n} else {\nreturn 2\n}",
        ["return: return 1", "return: return 2"],
    ),
    "else if without else": (
        "if x {\nreturn 1\n} else if y {\nreturn 2\n}",
        ["return: return 1", "return: return 2", "end"],
    ),
    "else if with else": (
        "if x {\nreturn 1\n} else if y := g(); y {\nreturn 2\n} else {\nreturn 3\n}\na()",
        ["return: return 1", "return: return 2", "return: return 3"],
    ),
    "panic": ('if x {\npanic("no")\n}\na()', ['panic: panic("no")', "end"]),
    "panic is the end": ('panic("no")\na()', ['panic: panic("no")']),
    "a panic in an argument is no statement": ("a(panic)", ["end"]),
    "os.Exit": ("os.Exit(1)", ["exit: os.Exit(1)"]),
    "another Exit": ("x.Exit(1)", ["end"]),
    "log.Fatal": ("log.Fatalf(`x`)", ["exit: log.Fatalf(`x`)"]),
    "log.Panic": ("log.Panicln(1)", ["panic: log.Panicln(1)"]),
    "zap": ("s.lg.Fatal(`x`, zap.Error(err))", ["exit: s.lg.Fatal(`x`, zap.Error(err))"]),
    "klog": ("klog.Fatalf(`x`)", ["exit: klog.Fatalf(`x`)"]),
    "Goexit": ("runtime.Goexit()", ["goexit: runtime.Goexit()"]),
    "require may return": ("require.NoError(t, err)", ["end"]),
    "go and defer of panic go on": ("go panic(1)\ndefer panic(2)", ["end"]),
    "empty select": ("a()\nselect {}", ["blocked"]),
    "empty select in a branch": ("if x {\nselect {}\n}", ["blocked", "end"]),
    "endless loop": ("for {\n}", ["blocked"]),
    "endless loop with work": ("for {\na()\n}\nb()", ["blocked"]),
    "endless loop with clauses": ("for i := 0; ; i++ {\na(i)\n}", ["blocked"]),
    "for true": ("for true {\na()\n}", ["blocked"]),
    "endless loop with return": ("for {\nif x {\nreturn\n}\n}", ["return: return"]),
    "endless loop with break": ("for {\nif x {\nbreak\n}\n}", ["end"]),
    "endless loop with only a panic": ("for {\nif x {\npanic(1)\n}\n}", ["panic: panic(1)"]),
    "endless loop that turns into another": ("for {\nfor {\na()\n}\n}", ["blocked"]),
    "a body that always returns is no endless loop": ("for {\nreturn 1\n}", ["return: return 1"]),
    "break leaves the select only": ("for {\nselect {\ncase <-c:\nbreak\n}\n}", ["blocked"]),
    "break leaves the switch only": ("for {\nswitch {\ncase x:\nbreak\n}\n}", ["blocked"]),
    "labelled break": ("L:\nfor {\nselect {\ncase <-c:\nbreak L\n}\n}", ["end"]),
    "labelled break of a select": (
        "S:\nselect {\ncase <-c:\nfor {\nbreak S\n}\n}\nreturn 2",
        ["return: return 2"],
    ),
    "labelled break of a switch": (
        "S:\nswitch x {\ndefault:\nfor {\nbreak S\n}\nreturn 1\n}",
        ["end"],
    ),
    "labelled continue from select in for": (
        "L:\nfor i := range n {\nfor {\nselect {\ncase <-c:\ncontinue L\ncase <-d:\n"
        "return 1\n}\n}\n}",
        ["return: return 1", "end"],
    ),
    "if false": ("if false {\nreturn 1\n}", ["end"]),
    "if true": ("if true {\nreturn 1\n}\na()", ["return: return 1"]),
    "loop with a condition": ("for x {\nreturn 1\n}", ["return: return 1", "end"]),
    "counted loop": ("for i := 0; i < n; i++ {\nreturn i\n}", ["return: return i", "end"]),
    "range": ("for range c {\nreturn 1\n}", ["return: return 1", "end"]),
    "range over a function": ("for x := range seq {\nreturn x\n}", ["return: return x", "end"]),
    "switch without default": ("switch x {\ncase 1:\nreturn 1\n}", ["return: return 1", "end"]),
    "switch with default": (
        "switch x {\ncase 1:\nreturn 1\ndefault:\nreturn 2\n}",
        ["return: return 1", "return: return 2"],
    ),
    "default stands first": (
        "switch x {\ndefault:\nreturn 2\ncase 1:\nreturn 1\n}",
        ["return: return 2", "return: return 1"],
    ),
    "default falls through to a case": (
        "switch x {\ndefault:\nfallthrough\ncase 1:\nreturn 1\n}",
        ["return: return 1"],
    ),
    "fallthrough": (
        "switch x {\ncase 1:\nfallthrough\ncase 2:\nreturn 2\ndefault:\npanic(1)\n}",
        ["return: return 2", "panic: panic(1)"],
    ),
    "empty switch": ("switch x := f(); x {\n}", ["end"]),
    "a switch with nothing but default": ("switch {\ndefault:\nreturn 1\n}", ["return: return 1"]),
    "type switch": (
        "switch v := x.(type) {\ncase int, *T:\nreturn v\ncase nil:\n}",
        ["return: return v", "end"],
    ),
    "type switch with default": (
        "switch y := 1; x.(type) {\ncase int:\nreturn 1\ndefault:\nreturn y\n}",
        ["return: return 1", "return: return y"],
    ),
    "empty type switch": ("switch x.(type) {\n}", ["end"]),
    "select": (
        "select {\ncase v, ok := <-c:\nreturn v\ncase d <- 1:\nreturn 2\n}",
        ["return: return v", "return: return 2"],
    ),
    "select with default": (
        "select {\ncase <-c:\nreturn 1\ndefault:\n}",
        ["return: return 1", "end"],
    ),
    "goto forward over a return": (
        "if x {\ngoto L\n}\nreturn 1\nL:\na()",
        ["return: return 1", "end"],
    ),
    "a loop by goto is no statement to point at": ("L:\na()\ngoto L", []),
    "goto back with an exit": ("L:\nif x {\nreturn 1\n}\ngoto L", ["return: return 1"]),
    "goto into dead code": ("goto L\nreturn 1\nL:\nreturn 2", ["return: return 2"]),
    "goto out of a loop": ("for {\nif x {\ngoto out\n}\n}\nout:\nreturn 1", ["return: return 1"]),
    "goto a loop's label": ("L:\nfor {\nif x {\ngoto L\n}\nreturn 1\n}", ["return: return 1"]),
    "label at the end": ("for {\ngoto end\n}\nend:", ["end"]),
    "blocks": ("{\n{\nreturn 1\n}\n}\na()", ["return: return 1"]),
    "empty statements": (";;\nreturn 1;", ["return: return 1"]),
    "a literal is opaque": ("func() {\nreturn\n}()\ngo func() {\npanic(1)\n}()", ["end"]),
    "return of a literal": ("return func() {\npanic(1)\n}", ["return: return func() {"]),
    "defer in if": ("if x {\ndefer a()\nreturn 1\n}", ["return: return 1", "end"]),
}


@pytest.mark.parametrize("name", EXITS)
def test_exits(name: str) -> None:
    body, expected = EXITS[name]
    assert shown(flow(body).exits) == expected


@pytest.mark.parametrize(
    ("signature", "path", "call", "kind"),
    [
        ("func f(t *testing.T)", "a.go", "t.Fatal(1)", "goexit"),
        ("func f(x testing.TB)", "a.go", "x.Skip()", "goexit"),
        ("func f(h *testing.B)", "a.go", "func() {\nh.FailNow()\n}()", None),
        ("func f(t *tokenizer)", "a_test.go", "t.Skip()", None),
        ("func f(t *tokenizer)", "a_test.go", "t.Fatal(1)", "exit"),
        ("func f()", "a_test.go", "t.SkipNow()", "goexit"),
        ("func f()", "a.go", "t.SkipNow()", None),
        ("func f()", "a_test.go", "s.T().FailNow()", "goexit"),
        ("func (s *S) f()", "a_test.go", "s.t.Fatal(1)", "goexit"),
        ("func (e *env) f()", "a.go", "e.TB.Fatal(1)", "goexit"),
        ("func (t *modTest) f()", "a.go", "t.Fatal(1)", "goexit"),
        ("func f(b interface{ Fatal(...any) })", "a.go", "b.Fatal(1)", "goexit"),
        ("func (b *Bisect) f()", "a.go", "b.Fatalf(`x`)", "exit"),
    ],
)
def test_testing_exits(signature: str, path: str, call: str, kind: str | None) -> None:
    exits = flow(call, signature, path).exits
    assert [exit_.kind for exit_ in exits] == [kind or "end"]


def test_testing_parameter_of_the_function_around() -> None:
    outer = function("go func() {\nh.FailNow()\n}()", "func f(h *testing.B)")
    literal = next(outer.find("func_literal"))
    assert shown(flow_of(literal).exits) == ["goexit: h.FailNow()"]


def test_noreturn_callback() -> None:
    node = function("die()\na()")
    named = lambda call: "exit" if call.text == b"die()" else None  # noqa: E731
    assert shown(flow_of(node, named).exits) == ["exit: die()"]
    assert shown(flow_of(node).exits) == ["end"]
    assert flow_of(node) is flow_of(node)


# From just after `lock()`, with every point that contains `unlock()` a stop.
LEAKS = {
    "released": ("lock()\nunlock()\nreturn", []),
    "early return": ("lock()\nif x {\nreturn 1\n}\nunlock()", ["return: return 1"]),
    "before the lock does not count": ("if x {\nreturn 1\n}\nlock()\nunlock()", []),
    "deferred": ("lock()\ndefer unlock()\nif x {\nreturn 1\n}", []),
    "deferred too late": ("lock()\nif x {\nreturn 1\n}\ndefer unlock()", ["return: return 1"]),
    "defer in one branch": ("lock()\nif x {\ndefer unlock()\n}", ["end"]),
    "panics are left out": ("lock()\nif x {\npanic(1)\n}\nunlock()", []),
    "released in the return": ("lock()\nreturn unlock()", []),
    "one case forgets": ("lock()\nswitch x {\ncase 1:\nunlock()\ncase 2:\n}", ["end"]),
    "all cases release": ("lock()\nswitch x {\ncase 1:\nunlock()\ndefault:\nunlock()\n}", []),
    "continue": ("for {\nlock()\nif x {\ncontinue\n}\nunlock()\n}", ["blocked"]),
    "endless loop that releases": ("lock()\nfor {\nunlock()\nlock2()\n}", []),
    "endless loop under the lock": ("lock()\nfor {\na()\n}", ["blocked"]),
    "same flag": ("if x {\nlock()\n}\na()\nif x {\nunlock()\n}", []),
    "same flag negated": ("if !x {\nlock()\n}\nif x {\nreturn 1\n}\nunlock()", []),
    "other flag": ("if x {\nlock()\n}\nif y {\nunlock()\n}", ["end"]),
    "flag assigned between": ("if x {\nlock()\n}\nx = g()\nif x {\nunlock()\n}", ["end"]),
    "flag assigned in a tuple": ("if x {\nlock()\n}\ny, x = g()\nif x {\nunlock()\n}", ["end"]),
    "flag set": ("locked := false\nif y {\nlock()\nlocked = true\n}\nif locked {\nunlock()\n}", []),
    "flag set wrongly": (
        "locked := true\nif y {\nlock()\nlocked = false\n}\nif locked {\nunlock()\n}",
        ["end"],
    ),
    "flag by var": (
        "var locked bool\nif y {\nlock()\nlocked = true\n}\nif locked {\nunlock()\n}",
        [],
    ),
    "flag shadowed": (
        "locked := false\nif y {\nlock()\nlocked := true\n_ = locked\n}\nif locked {\nunlock()\n}",
        ["end"],
    ),
    "flag set by a literal": (
        "locked := false\nset := func() {\nlocked = true\n}\nlock()\nset()\nif locked {\n"
        "return 1\n}\nunlock()",
        ["return: return 1"],
    ),
    "flag set through a pointer": (
        "locked := false\nlock()\nset(&locked)\nif locked {\nreturn 1\n}\nunlock()",
        ["return: return 1"],
    ),
    "flag read by a literal only": (
        "locked := false\ng := func() {\nuse(locked)\n}\nlock()\ng()\nif locked {\n"
        "return 1\n}\nunlock()",
        [],
    ),
    "a literal's own variable": (
        "locked := false\ng := func() {\nlocked := g()\nlocked = true\n}\nlock()\ng()\n"
        "if locked {\nreturn 1\n}\nunlock()",
        [],
    ),
    "err twice": (
        "err := g()\nif err == nil {\nlock()\n}\nif err != nil {\nreturn 1\n}\nunlock()",
        [],
    ),
    "err assigned again": (
        "err := g()\nif err == nil {\nlock()\n}\nerr = h()\nif err != nil {\nreturn 1\n}\nunlock()",
        ["return: return 1"],
    ),
    "err of the if": (
        "var err error\nlock()\nif err := g(); err != nil {\nunlock()\nreturn 1\n}\n"
        "if err != nil {\nreturn 2\n}\nunlock()",
        [],
    ),
    "err of the if does not speak for the other": (
        "err := g()\nlock()\nif err := h(); err == nil {\na()\n}\nif err != nil {\n"
        "return 2\n}\nunlock()",
        ["return: return 2"],
    ),
    "err set to a new error": (
        "var err error\nlock()\nif x {\nerr = errors.New(`x`)\n}\nif err != nil {\n"
        "unlock()\nreturn\n}\nif x {\nreturn 3\n}\nunlock()",
        [],
    ),
    "a called literal is no value": (
        "lock()\nerr := func() error {\nreturn nil\n}()\nif err != nil {\nunlock()\n"
        "return\n}\nreturn 4",
        ["return: return 4"],
    ),
    "both of and": ("if x && y {\nlock()\n}\nif x {\nunlock()\n}", []),
    "one of and": ("if x {\nlock()\n}\nif x && y {\nunlock()\n}", ["end"]),
    "same and": ("if x && y {\nlock()\n}\nif x && y {\nunlock()\n}", []),
    "same or": ("if x || y {\nlock()\n}\nif x || y {\nunlock()\n}", []),
    "neither of or": ("if x || y {\nreturn\n}\nlock()\nif x {\nreturn 1\n}\nunlock()", []),
    "not of or": ("if !(x || y) {\nlock()\n}\nif !x {\nunlock()\n}", []),
    "calls are asked anew": ("if x() {\nlock()\n}\nif x() {\nunlock()\n}", ["end"]),
    "comparisons": ("if a < b {\nlock()\n}\nif b > a {\nunlock()\n}", []),
    "complements": ("if a < b {\nlock()\n}\nif a >= b {\nreturn 1\n}\nunlock()", []),
    "lengths": ("if len(q) > 0 {\nlock()\n}\nif len(q) == 0 {\nreturn 1\n}\nunlock()", []),
    "length changed": (
        "if len(q) > 0 {\nlock()\n}\nq = q[1:]\nif len(q) == 0 {\nreturn 1\n}\nunlock()",
        ["return: return 1"],
    ),
    "nil from the left": ("if nil != p {\nlock()\n}\nif p != nil {\nunlock()\n}", []),
    "compared with true": ("if x == true {\nlock()\n}\nif x != false {\nunlock()\n}", []),
    "tag": (
        "switch m {\ncase 1:\nlock()\n}\na()\nswitch m {\ncase 2:\nreturn 1\ncase 1:\nunlock()\n}",
        [],
    ),
    "tag with several values": (
        "switch m {\ncase 1, 2:\nlock()\n}\nif m == 3 {\nreturn 1\n}\nunlock()",
        ["return: return 1"],
    ),
    "tag against if": ("if m == a {\nlock()\n}\nswitch m {\ncase a:\nunlock()\n}", []),
    "conditions as cases": (
        "switch {\ncase x:\nlock()\n}\nswitch {\ncase !x:\nreturn 1\n}\nunlock()",
        [],
    ),
    "a field as a setting": ("if s.safe {\nlock()\n}\na()\nif s.safe {\nunlock()\n}", []),
    "a field assigned": (
        "if s.safe {\nlock()\n}\ns.safe = g()\nif s.safe {\nunlock()\n}",
        ["end"],
    ),
    "its owner assigned": ("if s.safe {\nlock()\n}\ns = g()\nif s.safe {\nunlock()\n}", ["end"]),
    "a field checked again under the lock": (
        "if s.closed {\nreturn 1\n}\nlock()\nif s.closed {\nreturn 2\n}\nunlock()",
        ["return: return 2"],
    ),
    "a double check": (
        "if s.x == nil {\nlock()\nif s.x != nil {\nreturn 2\n}\nunlock()\n}",
        ["return: return 2"],
    ),
    "a field in a loop": (
        "for {\nif s.closed {\nreturn 1\n}\nlock()\n}",
        ["return: return 1"],
    ),
    "a setting around a loop": (
        "if s.safe {\nlock()\n}\nfor i := range n {\na(i)\n}\nif s.safe {\nunlock()\n}",
        [],
    ),
    "a flag through a loop": (
        "held := false\nfor range n {\nif !held {\nlock()\nheld = true\n}\n}\nif held {\n"
        "unlock()\n}",
        [],
    ),
    "loop condition": ("done := false\nlock()\nfor !done {\nunlock()\ndone = true\n}", []),
    "a package variable checked again": (
        "if closing {\nreturn 1\n}\nlock()\nif closing {\nreturn 2\n}\nunlock()",
        ["return: return 2"],
    ),
    "a parameter checked again": (
        "if x {\nreturn 1\n}\nlock()\nif x {\nreturn 2\n}\nunlock()",
        [],
    ),
    "constant condition": ("lock()\nif false {\nreturn 1\n}\nunlock()", []),
    "goto past the unlock": (
        "lock()\nif x {\ngoto out\n}\nunlock()\nout:\nreturn 1",
        ["return: return 1"],
    ),
    "defer after goto": (
        "lock()\nif x {\ngoto out\n}\ndefer unlock()\nout:\nreturn 1",
        ["return: return 1"],
    ),
    "unlock in select": (
        "lock()\nselect {\ncase <-c:\nunlock()\ncase <-d:\nreturn 1\n}",
        ["return: return 1"],
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_exits_from(name: str) -> None:
    body, expected = LEAKS[name]
    graph = flow(body, "func f(x, y bool)")
    start, stop = at(graph, "lock()"), holds("unlock()")
    exits = graph.exits_from(start, stop=stop)
    assert shown(exits) == expected
    assert graph.complete


def test_infeasible_paths_on_request() -> None:
    graph = flow("if x {\nlock()\n}\na()\nif x {\nunlock()\n}")
    start, stop = at(graph, "lock()"), holds("unlock()")
    assert graph.exits_from(start, stop=stop) == []
    assert shown(graph.exits_from(start, stop=stop, feasible=False)) == ["end"]


def test_through_panics() -> None:
    graph = flow("lock()\nif x {\npanic(1)\n}\nunlock()")
    exits = graph.exits_from(at(graph, "lock()"), stop=holds("unlock()"), through_panics=True)
    assert shown(exits) == ["panic: panic(1)"]


def test_exit_at_the_start() -> None:
    graph = flow("return lock()")
    assert shown(graph.exits_from(at(graph, "return"))) == ["return: return lock()"]


def test_exits_over_one_edge() -> None:
    graph = flow("if mu.TryLock() {\nreturn 1\n}\nreturn 2")
    test = at(graph, "mu.TryLock")
    assert shown(graph.exits_from(test, label="true")) == ["return: return 1"]
    assert shown(graph.exits_from(test, label="false")) == ["return: return 2"]


def test_too_many_conditions_answer_nothing() -> None:
    count = 24
    body = "lock()\n" + "".join(f"if x{i} {{\na{i}()\n}}\n" for i in range(count)) * 2
    graph = flow(body)
    assert graph.exits_from(at(graph, "lock()")) == []
    assert not graph.complete
    assert shown(graph.exits_from(at(graph, "lock()"), feasible=False)) == ["end"]


def test_deep_nesting_is_given_up() -> None:
    graph = flow("if x {\n" * 400 + "}\n" * 400)
    assert not graph.complete
    assert graph.exits == []
    assert graph.point_of(next(graph.function.find("if_statement"))) is None


def test_a_long_else_if_chain() -> None:
    chain = " else ".join(f"if x == {i} {{\nreturn {i}\n}}" for i in range(1500))
    source = SourceFile("a.go", f"package p\n\nfunc f() {{\n{chain}\n}}\n".encode())
    graph = flow_of(SyntaxTree(source).declarations[1].node)
    assert len(graph.exits) == 1501


# --- points ---


def labels(point: Point) -> list[tuple[str, str]]:
    return [
        (label, successor.node.text.split(b"\n")[0].decode())
        for label, successor in zip(point.labels, point.successors, strict=True)
    ]


def test_edges_of_a_loop() -> None:
    graph = flow("for i := 0; i < n; i++ {\na()\n}\nb()")
    assert labels(at(graph, "i := 0")) == [("", "i < n")]
    assert labels(at(graph, "i < n")) == [("true", "a()"), ("false", "b()")]
    assert labels(at(graph, "a()")) == [("", "i++")]
    assert labels(at(graph, "i++")) == [("", "i < n")]


def test_edges_of_a_range() -> None:
    graph = flow("for i := range g() {\na()\n}\nb()")
    head = at(graph, "i := range")
    assert labels(at(graph, "g()")) == [("", "i := range g()")]
    assert labels(head) == [("range-next", "a()"), ("range-done", "b()")]
    assert head.edge("range-done") is at(graph, "b()")
    assert not graph.in_loop(at(graph, "g()"))
    assert graph.in_loop(head)
    assert [n.text for n in head.own() if n.kind == "identifier"] == [b"i"]


def test_edges_of_a_select() -> None:
    graph = flow("select {\ncase v := <-c:\na(v)\ndefault:\nb()\n}")
    head = at(graph, "select")
    assert labels(head) == [("case", "v := <-c"), ("default", "b()")]
    assert list(head.own()) == []


def test_edges_of_a_switch() -> None:
    graph = flow("switch x {\ncase 1, 2:\na()\ndefault:\nb()\ncase 3:\nc()\n}")
    assert labels(at(graph, "x")) == [("", "1, 2")]
    assert set(labels(at(graph, "1, 2"))) == {("true", "a()"), ("false", "3")}
    assert set(labels(at(graph, "3"))) == {("true", "c()"), ("false", "b()")}


def test_edges_of_a_type_switch() -> None:
    graph = flow("switch v := x.(type) {\ncase int:\na(v)\n}\nb()")
    assert labels(at(graph, "x")) == [("case", "a(v)"), ("default", "b()")]


def test_point_of() -> None:
    graph = flow("if y := g(1); y {\na(func() {\nb()\n})\n}\nfor range c {\n}\nreturn 2")
    calls = {node.text.split(b"(")[0]: node for node in graph.function.find("call_expression")}
    assert graph.point_of(calls[b"g"]) is at(graph, "y := g(1)")
    assert graph.point_of(calls[b"a"]) is at(graph, "a(func")
    assert graph.point_of(calls[b"b"]) is None
    literal = next(graph.function.find("func_literal"))
    assert graph.point_of(literal) is at(graph, "a(func")
    statement = next(graph.function.find("if_statement"))
    assert graph.point_of(statement) is at(graph, "y := g(1)")
    assert graph.point_of(statement["consequence"]) is None
    assert graph.point_of(next(graph.function.find("for_statement"))) is at(graph, "c")
    assert graph.point_of(next(graph.function.find("int_literal"))) is at(graph, "y := g(1)")
    assert graph.point_of(graph.function) is None


def test_dead_points_are_marked() -> None:
    graph = flow("return\na()\nfor {\nb()\n}")
    assert not at(graph, "a()").live
    assert not at(graph, "b()").live
    assert graph.reachable(at(graph, "a()")) == set()
    assert shown(graph.exits) == ["return: return"]


def test_reachable() -> None:
    graph = flow("for {\nlock()\nif x {\ncontinue\n}\nunlock()\n}")
    lock = at(graph, "lock()")
    assert lock in graph.reachable(lock, stop=holds("unlock()"))
    graph = flow("for {\nlock()\nunlock()\n}")
    lock = at(graph, "lock()")
    assert lock not in graph.reachable(lock, stop=lambda p: p.node.text == b"unlock()")


# --- order and number ---


def test_dominators() -> None:
    graph = flow("a()\nif x {\nb()\n} else {\nc()\nif y {\npanic(1)\n}\n}\nd()\nreturn")
    a, b, c, d = (at(graph, f"{name}()") for name in "abcd")
    assert graph.dominates(a, d)
    assert not graph.dominates(b, d)
    assert not graph.dominates(d, a)
    assert graph.dominates(graph.entry, b)
    assert graph.postdominates(d, a)
    assert graph.postdominates(d, c)
    assert not graph.postdominates(b, a)
    assert not graph.postdominates(a, d)


def test_an_endless_loop_does_not_postdominate_by_accident() -> None:
    graph = flow("a()\nfor {\nif x {\nb()\n}\nc()\n}")
    a, b, c = (at(graph, f"{name}()") for name in "abc")
    assert graph.postdominates(c, a)
    assert not graph.postdominates(b, a)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x()", (1, 1)),
        ("if a {\nx()\n}", (0, 1)),
        ("if a {\nreturn\n}\nx()", (0, 1)),
        ("if a {\npanic(1)\n}\nx()", (1, 1)),
        ("for range n {\nx()\n}", (0, None)),
        ("for {\nx()\nif a {\nbreak\n}\n}", (1, None)),
        ("for {\nx()\nbreak\n}", (1, 1)),
        ("for range n {\nx()\nreturn\n}", (0, 1)),
        ("for {\nx()\n}", (1, None)),
        ("for {\nif a {\nx()\n}\n}", (0, None)),
        ("L:\nx()\nif a {\ngoto L\n}", (1, None)),
        ("return\nx()", (0, 0)),
        ("if a {\nb()\n} else {\nx()\n}\nx2()", (0, 1)),
        ("select {\ncase <-c:\ndefault:\nx()\n}", (0, 1)),
    ],
)
def test_count(body: str, expected: tuple[int, int | None]) -> None:
    graph = flow(body)
    assert graph.count(at(graph, "x()")) == expected


def test_count_per_turn() -> None:
    graph = flow("for {\nhead()\nif a {\nx()\n}\ny()\nfor range n {\nz()\n}\n}")
    head = at(graph, "head()")
    assert graph.count(at(graph, "x()"), since=head) == (0, 1)
    assert graph.count(at(graph, "y()"), since=head) == (1, 1)
    assert graph.count(at(graph, "z()"), since=head) == (0, None)
    assert graph.count(head, since=head) == (1, 1)


def test_loops() -> None:
    graph = flow("for a := range g() {\nfor b() {\nx()\n}\n}\nL:\ny()\ngoto L")
    outer, inner = graph.function.find("for_statement")
    assert graph.loops(at(graph, "x()")) == [inner, outer]
    assert graph.loops(at(graph, "b()")) == [inner, outer]
    assert graph.loops(at(graph, "g()")) == []
    assert graph.loops(at(graph, "y()")) == []
    assert graph.in_loop(at(graph, "y()"))


def test_loops_end_at_the_function() -> None:
    outer = function("for {\ngo func() {\nfor {\nx()\n}\n}()\n}")
    graph = flow_of(next(outer.find("func_literal")))
    assert len(graph.loops(at(graph, "x()"))) == 1


# --- states ---


def held(graph: Flow) -> dict[Point, frozenset[str]]:
    def transfer(point: Point, state: frozenset[str]) -> frozenset[str]:
        text = point.node.text
        if point.node.kind == "expression_statement":
            if text.startswith(b"lock("):
                return state | {text[5:-1].decode()}
            if text.startswith(b"unlock("):
                return state - {text[7:-1].decode()}
        return state

    return graph.solve(frozenset(), transfer, frozenset.intersection)


def test_solve_locksets() -> None:
    graph = flow(
        "lock(a)\nif x {\nlock(b)\n} else {\nm()\n}\nj()\nfor {\nunlock(a)\nk()\nlock(a)\n}"
    )
    states = held(graph)
    assert states[at(graph, "m()")] == {"a"}
    assert states[at(graph, "j()")] == {"a"}
    assert states[at(graph, "k()")] == frozenset()
    assert graph.end not in states


def test_solve_by_edge() -> None:
    graph = flow("if try() {\na()\n} else {\nb()\n}")
    states = graph.solve(
        0,
        lambda point, state: state,
        max,
        lambda point, label, state: 1 if label == "true" else state,
    )
    assert states[at(graph, "a()")] == 1
    assert states[at(graph, "b()")] == 0


def test_solve_gives_up_on_endless_climbing() -> None:
    graph = flow("for {\na()\n}")
    assert graph.solve(0, lambda point, state: state + 1, max) == {}
    assert not graph.complete


# --- defers ---


def test_defers() -> None:
    graph = flow("defer a()\nif x {\ndefer (func() {\nb()\n})()\nreturn 1\n}\nreturn 2")
    first, second = graph.defers
    assert first.called.text == b"a"
    assert second.called.kind == "func_literal"
    assert first.point is at(graph, "defer a()")


def test_literals_called_in_place() -> None:
    graph = flow(
        "x := func() int {\nreturn 1\n}()\ngo func() {}()\ndefer func() {}()\ny := func() {}"
    )
    assert [point for point, _ in graph.in_place] == [at(graph, "x := func")]
    assert all(literal.kind in FUNCTIONS for _, literal in graph.in_place)
