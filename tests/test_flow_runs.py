"""Control flow against runs of the program: random functions, executed with random answers.

What a run does, the flow must hold possible: exits, what comes before what, how often. The
programs branch on local flags, so that a run also tests the pruning of infeasible paths.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.syntax import SyntaxTree
from threadmend.source import SourceFile

_FLAGS = ["p", "q", "r"]


class _Jump(Exception):  # noqa: N818
    def __init__(self, kind: str, label: str = "") -> None:
        self.kind = kind
        self.label = label


class _Run:
    """One execution: the trace of marks, the variables by scope, the answers of calls."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.trace: list[str] = []
        self.scopes = [{flag: self.answer() for flag in _FLAGS}]
        self.budget = 300

    def answer(self) -> bool:
        return self.random.random() < 0.5

    def mark(self, name: str) -> None:
        self.budget -= 1
        if self.budget < 0:
            raise _Jump("tired")
        self.trace.append(name)

    def read(self, flag: str) -> bool:
        return next(scope[flag] for scope in reversed(self.scopes) if flag in scope)

    def write(self, flag: str, value: bool) -> None:
        next(scope for scope in reversed(self.scopes) if flag in scope)[flag] = value


_Step = Callable[[_Run], None]


class _Program:
    """A random function body: its Go text and the closure that does the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = 0
        self.loops: list[str] = []
        self.switches = 0
        text, self.steps = self.block(3)
        self.source = f"package p\n\nfunc f(p, q, r bool) {{\n{text}}}\n"

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def block(self, depth: int) -> tuple[str, list[_Step]]:
        texts, steps = [], []
        for _ in range(self.random.randint(1, 4)):
            text, step = self.statement(depth)
            texts.append(text + "\n")
            steps.append(step)
        return "".join(texts), steps

    def statement(self, depth: int) -> tuple[str, _Step]:
        kinds = ["call", "call", "lock", "unlock", "set", "set", "return", "closure"]
        if depth:
            kinds += ["if", "if", "if", "loop", "switch", "shadow"]
        if self.loops:
            kinds += ["break", "continue"]
        kind = self.random.choice(kinds)
        return getattr(self, f"_{kind}")(depth)

    def condition(self, depth: int = 2) -> tuple[str, Callable[[_Run], bool]]:
        kind = self.random.choice(["flag", "flag", "not", "and", "or", "call", "same"])
        if kind == "call":
            return "c()", lambda run: run.answer()
        if kind in {"flag", "same"} or not depth:
            flag = self.random.choice(_FLAGS)
            if kind == "same":
                return f"{flag} != true", lambda run: not run.read(flag)
            return flag, lambda run: run.read(flag)
        a, left = self.condition(depth - 1)
        if kind == "not":
            return f"!({a})", lambda run: not left(run)
        b, right = self.condition(depth - 1)
        if kind == "and":
            return f"({a}) && ({b})", lambda run: left(run) and right(run)
        return f"({a}) || ({b})", lambda run: left(run) or right(run)

    def _call(self, depth: int) -> tuple[str, _Step]:
        name = self.name("a")
        return f"{name}()", lambda run: run.mark(name)

    def _lock(self, depth: int) -> tuple[str, _Step]:
        name = self.name("lock")
        return f"{name}()", lambda run: run.mark(name)

    def _unlock(self, depth: int) -> tuple[str, _Step]:
        name = self.name("unlock")
        return f"{name}()", lambda run: run.mark(name)

    def _return(self, depth: int) -> tuple[str, _Step]:
        name = self.name("exit")

        def step(run: _Run) -> None:
            run.mark(name)
            raise _Jump("return")

        return f"return {name}()", step

    def _set(self, depth: int) -> tuple[str, _Step]:
        flag, value = self.random.choice(_FLAGS), self.random.choice(["true", "false", "c()"])
        return f"{flag} = {value}", lambda run: run.write(
            flag, run.answer() if value == "c()" else value == "true"
        )

    def _closure(self, depth: int) -> tuple[str, _Step]:
        text, step = self._set(depth)
        return f"func() {{ {text} }}()", step

    def _inside(self, run: _Run, steps: list[_Step]) -> None:
        run.scopes.append({})
        try:
            for step in steps:
                step(run)
        finally:
            run.scopes.pop()

    def _shadow(self, depth: int) -> tuple[str, _Step]:
        flag = self.random.choice(_FLAGS)
        text, steps = self.block(depth - 1)

        def declare(run: _Run) -> None:
            run.scopes[-1][flag] = run.answer()

        return f"{{\n{flag} := c()\n{text}}}", lambda run: self._inside(run, [declare, *steps])

    def _if(self, depth: int) -> tuple[str, _Step]:
        text, test = self.condition()
        then, yes = self.block(depth - 1)
        other, no = self.block(depth - 1) if self.random.random() < 0.5 else ("", [])
        return f"if {text} {{\n{then}}}" + (
            f" else {{\n{other}}}" if other else ""
        ), lambda run: self._inside(run, yes if test(run) else no)

    def _loop(self, depth: int) -> tuple[str, _Step]:
        label = self.name("L")
        kind = self.random.choice(["range", "for", "while"])
        head, test = self.condition()
        if kind != "while":
            head, test = ("range c()", lambda run: run.answer()) if kind == "range" else ("", None)
        self.loops.append(label)
        text, steps = self.block(depth - 1)
        # A label has to be used.
        text = f"if c() {{\ncontinue {label}\n}}\n{text}"
        self.loops.pop()

        def step(run: _Run) -> None:
            while test is None or test(run):
                run.budget -= 1
                if run.budget < 0:
                    raise _Jump("tired")
                if run.answer():
                    continue
                try:
                    self._inside(run, steps)
                except _Jump as jump:
                    if jump.label not in {"", label} or jump.kind in {"return", "tired"}:
                        raise
                    if jump.kind == "break":
                        return

        return f"{label}:\nfor {head} {{\n{text}}}", step

    def _break(self, depth: int, kind: str = "break") -> tuple[str, _Step]:
        # In a switch a bare `break` would mean the switch.
        label = self.random.choice(self.loops)
        bare = label == self.loops[-1] and not self.switches

        def step(run: _Run) -> None:
            raise _Jump(kind, label)

        return kind if bare else f"{kind} {label}", step

    def _continue(self, depth: int) -> tuple[str, _Step]:
        return self._break(depth, "continue")

    def _switch(self, depth: int) -> tuple[str, _Step]:
        clauses: list[tuple[Callable[[_Run], bool] | None, list[_Step], bool]] = []
        texts = []
        self.switches += 1
        count = self.random.randint(1, 3)
        default = self.random.randint(0, 4)
        for i in range(count):
            condition, test = self.condition()
            text, steps = self.block(depth - 1)
            falls = i < count - 1 and self.random.random() < 0.3
            head = "default" if i == default else f"case {condition}"
            texts.append(f"{head}:\n{text}" + ("fallthrough\n" if falls else ""))
            clauses.append((None if i == default else test, steps, falls))
        self.switches -= 1

        def step(run: _Run) -> None:
            found = next((i for i, (t, _, _) in enumerate(clauses) if t is not None and t(run)), -1)
            if found < 0 and default < count:
                found = default
            while found >= 0:
                _, steps, falls = clauses[found]
                self._inside(run, steps)
                found = found + 1 if falls else -1

        return f"switch {{\n{''.join(texts)}}}", step

    def run(self, seed: int) -> tuple[list[str], str]:
        run = _Run(seed)
        ended = "end"
        try:
            for step in self.steps:
                step(run)
        except _Jump as jump:
            ended = jump.kind
        return run.trace, ended


def _marks(flow: Flow) -> dict[str, Point]:
    found = {}
    for point in flow.points:
        for node in point.own():
            if node.kind == "call_expression" and node.children[0].kind == "identifier":
                found[node.children[0].name] = point
    found.pop("c", None)  # the opaque call of conditions and assignments
    return found


@pytest.mark.parametrize("seed", range(250))
def test_runs_stay_within_the_flow(seed: int) -> None:
    program = _Program(seed)
    source = SourceFile("a.go", program.source.encode())
    tree = SyntaxTree(source)
    assert not tree.errors, program.source
    flow = flow_of(tree.declarations[1].node)
    marks = _marks(flow)
    releases = {point for name, point in marks.items() if name.startswith("unlock")}
    exits = {exit_.point for exit_ in flow.exits}
    for run in range(20):
        trace, ended = program.run(run)
        passed = [marks[name] for name in trace]
        assert all(point.live for point in passed), program.source
        left = passed[-1] if ended == "return" else flow.end
        if ended != "tired":
            assert left in exits, program.source
        _check_leaks(flow, passed, left if ended != "tired" else None, releases)
        _check_order(flow, passed, ended, left)


def _check_leaks(flow: Flow, passed: list[Point], left: Point | None, releases: set[Point]) -> None:
    if not flow.complete:
        return
    for i, point in enumerate(passed):
        if not point.node.text.startswith(b"lock"):
            continue
        after = passed[i + 1 :]
        until = next((j for j, p in enumerate(after) if p in releases), None)
        reachable = flow.reachable(point, stop=lambda p: p in releases)
        assert set(after[:until]) <= reachable, flow.function.text.decode()
        if until is None and left is not None:
            found = {exit_.point for exit_ in flow.exits_from(point, stop=lambda p: p in releases)}
            assert left in found, flow.function.text.decode()


def _check_order(flow: Flow, passed: list[Point], ended: str, left: Point) -> None:
    for point in set(passed):
        _, most = flow.count(point)
        times = passed.count(point)
        assert most is None or times <= most
        for earlier in set(passed[:4]):
            if flow.dominates(point, earlier):
                assert passed.index(point) <= passed.index(earlier)
    if ended == "tired":
        return
    for point in _marks(flow).values():
        if point.live and flow.count(point)[0]:
            assert point in passed or point is left, flow.function.text.decode()
