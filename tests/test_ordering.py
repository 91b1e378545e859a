"""Happens before: which accesses of a captured variable may run at the same time."""

from __future__ import annotations

import pytest

from threadmend.golang.captured import CapturedAccess, accesses_of, conflict
from threadmend.golang.ordering import Ordering
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.strands import places_of
from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile

HEADER = """package p

import (
	"context"
	"sync"
	"time"
)

func F(ctx context.Context, f func() int, wait, use func(int)) (x int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := make(chan bool)
"""


def accesses(body: str) -> tuple[Ordering, list[CapturedAccess]]:
    """Return the accesses of x in a function, with their order."""
    code = HEADER + body + "\treturn x\n}\n"
    files = {"go.mod": b"module m\n\ngo 1.25\n", "p.go": code.encode()}
    file = Workspace(files, lambda path: SourceFile(path, files[path])).file("p.go")
    function = file.tree.declarations[-1].node
    binding: Binding = bindings_in(function)["x"][0]
    found = accesses_of(file, binding)
    assert found is not None
    return Ordering(file, binding), found


def races(body: str) -> bool:
    """Return whether a write of x in a goroutine may meet another access."""
    order, found = accesses(body)
    return any(
        order.concurrent(a, b)
        for one in found
        if one.writes and one.inside
        for other in found
        if conflict(order.file, order.binding, one, other)
        for a in one.places or ()
        for b in other.places or ()
    )


RACES = {
    "no wait": "go func() { x = f() }()\n",
    "two goroutines": "go func() { x = 1; done <- true }()\ngo func() { x = 2; done <- true }()\n"
    "<-done\n<-done\n",
    "in a loop": "for range 3 {\nwg.Add(1)\ngo func() { defer wg.Done(); x++ }()\n}\nwg.Wait()\n",
    "after a timeout": "go func() { x = f(); close(done) }()\n"
    "select {\ncase <-done:\ncase <-time.After(1):\n}\n",
    "a context is no answer": "go func() { x = f(); close(done) }()\n<-ctx.Done()\n",
    "one side locks": "go func() { mu.Lock(); x = f(); mu.Unlock() }()\nx = 1\n",
    "a named function": "g := func() { x++ }\ngo g()\ngo g()\n",
    "launched in a call in place": "func() { go func() { x = 1 }() }()\n",
}
ORDERED = {
    "wait": "wg.Go(func() { x = f() })\nwg.Wait()\n",
    "receive": "go func() { x = f(); done <- true }()\n<-done\n",
    "range": "go func() { x = f(); close(done) }()\nfor range done {\n}\n",
    "loop waits": "for range 3 {\ngo func() { x++; done <- true }()\n<-done\n}\n",
    "both lock": "for range 3 {\nwg.Go(func() { mu.Lock(); x++; mu.Unlock() })\n}\nwg.Wait()\n",
    "travels": "wg.Go(func() { x = f() })\ngo func() { wg.Wait(); close(done) }()\n<-done\n",
    "own context": "ctx, cancel := context.WithCancel(ctx)\ngo func() { x = f(); cancel() }()\n"
    "<-ctx.Done()\n",
    "in place": "func() { x = f() }()\n",
    "made anew": "for range 3 {\nx := 0\nwg.Go(func() { x = f() })\n_ = x\nwg.Wait()\n}\n",
    "once": "var once sync.Once\nfor range 3 {\nwg.Go(func() { once.Do(func() { x = f() }) })\n}\n"
    "wg.Wait()\n",
}


@pytest.mark.parametrize("name", RACES)
def test_races(name: str) -> None:
    assert races(RACES[name])


@pytest.mark.parametrize("name", ORDERED)
def test_ordered(name: str) -> None:
    assert not races(ORDERED[name])


def test_places_of_a_named_literal() -> None:
    """A literal runs wherever its variable is called; passed on, nobody knows."""
    order, found = accesses("g := func() { x++ }\ng()\ngo g()\ndefer g()\n")
    places = found[0].places or []
    assert [p.strand.launch is not None for p in places] == [False, True, False]
    assert [p.deferred for p in places] == [False, False, True]
    order, found = accesses("g := func() { x++ }\ntime.AfterFunc(1, g)\nctx.Value(g)\n")
    assert found[0].places is None
    assert places_of(order.file, order.binding.scope, found[-1].node) is not None


def test_fields_apart() -> None:
    """Different fields do not meet; the whole meets each of them."""
    body = "var p struct{ a, b int }\ngo func() { p.a = 1 }()\np.b = 2\n_ = p\n"
    order, _ = accesses(body)
    binding = bindings_in(order.binding.scope["body"])["p"][0]
    first, second, whole = accesses_of(order.file, binding) or []
    assert not conflict(order.file, binding, first, second)
    assert conflict(order.file, binding, first, whole)
