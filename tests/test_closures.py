"""When a function made in a loop runs, and what keeps a context."""

from __future__ import annotations

import pytest

from threadmend.golang.closures import outlives
from threadmend.golang.contexts import derivations, kept
from threadmend.golang.file import GoFile
from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile

_HEAD = """package a

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	_ = errors.New
	_ http.Handler
	_ time.Duration
	_ errgroup.Group
	_ sync.Mutex
	_ context.Context
)

type server struct {
	hooks []func()
	ctx   context.Context
}

func (s *server) add(f func())     { s.hooks = append(s.hooks, f) }
func (s *server) attach(f func())  { go func() { f() }() }
func (s *server) within(f func()) {
	done := make(chan int)
	go func() { f(); close(done) }()
	<-done
}
func same(f func()) func()         { return f }
func keep(ctx context.Context) any { return &server{ctx: ctx} }
func look(ctx context.Context) int { _ = ctx.Err(); return 1 }
"""


def _file(code: str) -> GoFile:
    data = {"go.mod": b"module m\n\ngo 1.21\n", "a.go": (_HEAD + code).encode()}
    return Workspace(data, lambda path: SourceFile(path, data[path])).file("a.go")


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("go func() { use(v) }()", "goroutine"),
        ("defer func() { use(v) }()", "deferred function"),
        ("func() { use(v) }()", None),
        ("func() { defer func() { use(v) }() }()", None),
        ("f := func() { use(v) }; f()", None),
        ("f := func() { use(v) }; go f()", "goroutine"),
        ("f := func() { use(v) }; go func() { f() }()", "goroutine"),
        ("s.add(func() { use(v) })", "stored function"),
        ("s.attach(func() { use(v) })", "goroutine"),
        ("s.within(func() { use(v) })", None),
        ("go same(func() { use(v) })()", "goroutine"),
        ("all = append(all, same(func() { use(v) }))", "stored function"),
        ("all[v] = func() { use(v) }", "stored function"),
        ("all[0] = func() { use(v) }", None),
        ("c <- func() { use(v) }", "stored function"),
        ("time.AfterFunc(1, func() { use(v) })", "timer function"),
        ("var g errgroup.Group; g.Go(func() error { use(v); return nil })", "goroutine"),
        ("var g errgroup.Group; g.Go(func() error { use(v); return nil }); g.Wait()", None),
        ("http.HandleFunc('/', func(http.ResponseWriter, *http.Request) { use(v) })", "stored"),
        ("unknown(func() { use(v) })", None),
    ],
)
def test_when_a_function_made_in_a_loop_runs(body: str, how: str | None) -> None:
    code = (
        "func loop(vs []int, use func(int), s *server, all []func(), c chan func()) {\n"
        f"\tfor _, v := range vs {{\n\t\t{body.replace(chr(39), chr(34))}\n\t}}\n}}\n"
    )
    file = _file(code)
    loop = next(n for n in file.find("for_statement") if b"range vs" in n.text)
    literal = next(n for n in loop.find("func_literal") if b"use(v)" in n.text)
    found = outlives(file, loop, literal)
    assert (found.how if found else "").startswith(how or "")
    assert (found is None) == (how is None)


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("return look(ctx)", None),
        ("return ctx", "returned"),
        ("return keep(ctx)", "returned"),
        ("x := keep(ctx); _ = x; return nil", None),
        ("s.ctx = ctx; return nil", "stored function"),
        ("t := server{ctx: ctx}; look(t.ctx); return nil", None),
        ("go look(ctx); return nil", "goroutine"),
        ("go func() { look(ctx) }(); return nil", "goroutine"),
        ("defer func() { look(ctx) }(); return nil", None),
        ("done := make(chan int); go func() { done <- look(ctx) }(); <-done; return nil", None),
        (
            "r, _ := http.NewRequestWithContext(ctx, `GET`, ``, nil); return r",
            "returned",
        ),
        ("c, _ := context.WithCancel(ctx); return c", "returned"),
        ("return func() { look(ctx) }", "returned"),
    ],
)
def test_what_keeps_a_context(body: str, how: str | None) -> None:
    file = _file(
        "func f(parent context.Context, s *server) any {\n"
        f"\tctx, _ := context.WithTimeout(parent, 1)\n\t{body}\n}}\n"
    )
    found = next(derivations(file))
    binding = file.binding(found.context)
    function = found.call.function
    assert binding is not None
    assert function is not None
    later = kept(file, function, binding, found.statement.end)
    assert (later.how if later else None) == how
