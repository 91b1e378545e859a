"""Effects: what happens under which lock, through calls, callbacks and interfaces."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pytest

from threadmend.golang.bodycalls import ANY
from threadmend.golang.effects import Pair, effects_of, holders, pairs_of
from threadmend.golang.lockorder import lock_order_graph
from threadmend.golang.targets import Body
from threadmend.golang.unblocking import needing_lock
from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile

HEAD = """
package a

import "sync"

type S struct {
	mu, other sync.Mutex
	rw        sync.RWMutex
	wg        sync.WaitGroup
	n         int
	ch        chan int
	hook      func()
}

func (s *S) get() int { s.mu.Lock(); defer s.mu.Unlock(); return s.n }
func (s *S) each(fn func(int)) { s.mu.Lock(); defer s.mu.Unlock(); fn(s.n) }
func (s *S) lock()   { s.mu.Lock() }
func (s *S) unlock() { s.mu.Unlock() }
func (s *S) pause()  { s.mu.Unlock(); s.mu.Lock() }
"""


def workspace(files: Mapping[str, str]) -> Workspace:
    sources = {p: SourceFile(p, t.encode()) for p, t in files.items()}
    return Workspace(sources, sources.__getitem__)


def pairs(code: str, name: str = "f") -> list[Pair]:
    """Return the pairs of a function and of the literals in it."""
    text = textwrap.dedent(HEAD) + textwrap.dedent(code)
    ws = workspace({"go.mod": "module x\n\ngo 1.25\n", "a.go": text})
    file = ws.file("a.go")
    decl = next(d for d in file.package.functions() if d.name == name)
    inside = [h for h in holders(file) if decl.node.contains(h)]
    return [pair for function in inside for pair in pairs_of(file, function)]


def taken(code: str) -> set[tuple[str, str, str]]:
    """Return held and taken locks with the mode in which the second is taken."""
    return {
        (str(p.held.access), str(p.event.access), p.event.mode)
        for p in pairs(code)
        if p.event.kind == "acquire" and p.event.sure
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s.mu.Lock(); s.get(); s.mu.Unlock()", True),
        ("s.mu.Lock(); s.mu.Unlock(); s.get()", False),
        ("s.mu.Lock(); defer s.mu.Unlock(); defer s.get()", True),
        ("defer s.get(); s.mu.Lock(); defer s.mu.Unlock()", False),
        ("s.lock(); s.get(); s.unlock()", True),
        ("s.lock(); s.unlock(); s.get()", False),
        ("s.mu.Lock(); s.pause(); s.mu.Unlock()", False),
        ("s.each(func(int) { s.get() })", True),
        ("s.mu.Lock(); go s.get(); s.mu.Unlock()", False),
        ("s.mu.Lock(); func() { s.get() }(); s.mu.Unlock()", True),
        ("s.mu.Lock(); g := func() { s.get() }; g(); s.mu.Unlock()", True),
        ("s.mu.Lock(); g := func() { s.get() }; s.mu.Unlock(); g()", False),
        ("s.mu.Lock(); if s.n > 0 { s.mu.Unlock(); return }; s.get(); s.mu.Unlock()", True),
        ("s.mu.Lock(); s = new(S); s.get()", False),
        ("if s.mu.TryLock() { s.get(); s.mu.Unlock() }", True),
        ("if s.mu.TryLock() { s.mu.Unlock() } else { s.get() }", False),
    ],
)
def test_a_held_lock_is_taken_again(body: str, expected: bool) -> None:
    """The same lock of the same object, with the release on the way counted."""
    found = taken(f"func (s *S) f() {{\n{body}\n}}\n")
    assert (("s.mu", "s.mu", "write") in found) is expected


def test_locks_of_parameters_and_receivers_are_translated() -> None:
    """What the callee calls `x.mu` is the caller's argument."""
    code = """
    func touch(x *S) { x.rw.RLock(); x.rw.RUnlock() }
    func (s *S) f(t *S) { s.mu.Lock(); defer s.mu.Unlock(); touch(t); touch(s) }
    """
    assert taken(code) == {("s.mu", "t.rw", "read"), ("s.mu", "s.rw", "read")}


def test_a_hook_is_followed_to_what_the_constructor_stored() -> None:
    """`s` of the stored literal is the object whose hook is called."""
    code = """
    func open() *S { s := &S{}; s.hook = func() { s.get() }; return s }
    func (t *S) f() { t.mu.Lock(); t.hook(); t.mu.Unlock() }
    """
    assert ("t.mu", "t.mu", "write") in taken(code)


def test_functions_that_call_each_other_are_solved_together() -> None:
    """The answer is the same for both, whoever is asked first."""
    code = """
    func (s *S) even(n int) { if n > 0 { s.odd(n - 1) } }
    func (s *S) odd(n int) { s.even(n - 1); s.get() }
    """
    text = textwrap.dedent(HEAD) + textwrap.dedent(code)
    answers = []
    for order in (("even", "odd"), ("odd", "even")):
        ws = workspace({"go.mod": "module x\n\ngo 1.25\n", "a.go": text})
        file = ws.file("a.go")
        decls = {d.name: d for d in file.package.functions()}
        told = {n: effects_of(Body(file, decls[n].node, decls[n])) for n in order}
        answers.append({n: {(e.kind, e.lock_class) for e in told[n]} for n in sorted(told)})
    assert answers[0] == answers[1]
    assert answers[0]["even"] == {("acquire", "x.S.mu")}


def test_a_release_through_a_function_value_ends_what_is_known() -> None:
    """Nobody knows which lock a local `unlock()` gives back."""
    code = """
    func (s *S) finish(unlock func()) { unlock(); s.other.Lock(); s.other.Unlock() }
    func (s *S) f() { s.mu.Lock(); s.finish(s.mu.Unlock) }
    """
    assert not taken(code)
    assert ANY == "*"


@pytest.mark.parametrize(
    ("body", "loop", "expected"),
    [
        ("s.mu.Lock(); s.ch <- 1; s.mu.Unlock()", "s.mu.Lock(); s.mu.Unlock()", True),
        ("s.mu.Lock(); s.ch <- 1; s.mu.Unlock()", "s.other.Lock(); s.other.Unlock()", False),
        ("s.mu.Lock(); s.mu.Unlock(); s.ch <- 1", "s.mu.Lock(); s.mu.Unlock()", False),
        ("s.mu.Lock(); s.ch <- 1; s.mu.Unlock()", "s.get()", True),
    ],
)
def test_who_could_end_a_wait_needs_the_lock(body: str, loop: str, expected: bool) -> None:
    """The receiver takes the lock in the round that leads back to its receive."""
    code = f"""
    func start() *S {{ s := &S{{ch: make(chan int)}}; go s.loop(); return s }}
    func (s *S) loop() {{
        for range s.ch {{
            {loop}
        }}
    }}
    func (s *S) f() {{
        {body}
    }}
    """
    waits = [p for p in pairs(code) if p.event.kind == "block"]
    assert any(needing_lock(p) is not None for p in waits) is expected


def test_the_graph_has_the_functions_on_each_edge() -> None:
    """What `threadmend map` draws: classes, edges, witnesses, cycles."""
    code = """
    func (s *S) one() { s.mu.Lock(); s.other.Lock(); s.other.Unlock(); s.mu.Unlock() }
    func (s *S) two() { s.other.Lock(); s.get(); s.other.Unlock() }
    """
    text = textwrap.dedent(HEAD) + textwrap.dedent(code)
    graph = lock_order_graph(workspace({"go.mod": "module x\n\ngo 1.25\n", "a.go": text}))
    assert graph.nodes == ["x.S.mu", "x.S.other"]
    names = {edge: [w.name for w in found] for edge, found in graph.edges.items()}
    assert names == {("x.S.mu", "x.S.other"): ["S.one"], ("x.S.other", "x.S.mu"): ["S.two"]}
    assert [c.classes for c in graph.cycles] == [("x.S.mu", "x.S.other")]
    assert graph.cycles[0].certain
