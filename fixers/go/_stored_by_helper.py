"""Looked up by one method, made, stored by another one, which does not look again.

    if c, ok := p.cached(addr); ok { … }     func (p *Pool) store(addr string, c Conn) Conn {
    c, err := p.dial(addr)                       p.mu.Lock()
    …                                            defer p.mu.Unlock()
    c = p.store(addr, c)               →         if old, ok := p.conns[addr]; ok {
    return c, nil                                    c.Close()
                                                     return old
                                                 }
                                                 p.conns[addr] = c
                                                 return c
                                             }

The method that stores hands back what is kept. One that returns an error does so beside it. One of
a generic type says whether it has stored the value, which its caller closes if not:

    if kept, stored := p.conns.put(addr, c); !stored {
        c.Close()
        c = kept
    }
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    replace,
    taken_names,
    with_reason,
)
from threadmend.golang.builders.names import names_around
from threadmend.golang.calls import known_of_all
from threadmend.golang.decisions import Decision, section_of
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.guards import guarded_places
from threadmend.golang.locks import locks_of
from threadmend.golang.package import Decl, Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._store_helpers import (
    Helper,
    Use,
    is_any_type,
    keeper_of,
    looked_up,
    looks_of,
    store_of,
    use_of,
)
from ._stored_twice import stored_twice

__all__ = ["stored_by_helper"]


_KEEPERS = frozenset({"short_var_declaration", "assignment_statement"})


def stored_by_helper(package: Package) -> Iterator[Finding]:
    """Yield the stores, by a method of their own, that may replace an open value."""
    for accesses in guarded_places(package).values():
        looks = [h for a in accesses if (h := looks_of(a)) is not None]
        for access in accesses:
            store = store_of(access, accesses)
            if store is None:
                if looks and access.kind == "store" and access.held_here:
                    yield from _stored_here(access, looks)
                continue
            if any(look.decl is store.decl for look in looks):
                continue
            use = partial(use_of, store=store, looks=looks, accesses=accesses)
            known = known_of_all(store.decl, use)
            if known:
                yield _finding(store, known)


def _stored_here(access: FieldAccess, looks: list[Helper]) -> Iterator[Finding]:
    """Yield the store of a function that has a helper look the key up."""
    node, target, function = access.node, access.node.parent, access.node.function
    if target is None or target.kind != "index_expression" or function is None:
        return
    if node.kind != "selector_expression":
        return
    look = looked_up(access.file, node, node["operand"].text, target["index"].text, looks)
    locks = locks_of(access.file, function)
    begin = section_of(locks, access)
    if look is None or begin is None or look.at > begin.call.at:
        return
    finding = stored_twice(Decision(looks[0].access, access, look, locks, begin, begin), look)
    if finding is not None:
        yield finding


# -- the finding ------------------------------------------------------------------------


def _finding(store: Helper, uses: list[Use]) -> Finding:
    use = uses[0]
    file, call = use.site.file, use.call
    fix, reason = _fix(store, uses)
    look, access = use.look, store.access
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{use.value.name} may take the place of one that another goroutine has stored"
        f" meanwhile, and that {'nobody closes' if use.closes else 'its caller has been given'}",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(file.path, look.start, look.end, "looked up here"),
            Related(access.file.path, access.node.start, access.node.end, "stored here"),
        ),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(store: Helper, uses: list[Use]) -> Fix:
    closes = any(use.closes for use in uses)
    if closes and not all(use.closes for use in uses):
        raise BuilderError("only some of what is stored has to be closed")
    if closes and _is_generic(store):
        edits = (*_generic_edits(store), *(e for u in uses for e in _closing_edits(u)))
    else:
        found = _helper_edits(store, closes)
        edits = (*found, *(e for u in uses for e in _caller_edits(store, u)))
    why = "the value that was stored first is kept"
    if closes:
        why += ", and the other one closed"
    return Fix(f"Look again before {store.access.node.name} is written", edits, Safety.UNSAFE, why)


def _is_generic(store: Helper) -> bool:
    """Return whether only callers of the method know that there is something to close."""
    statement = store.access.node.statement
    return statement is not None and is_any_type(store.access.file, statement["right"].children[0])


def _generic_edits(store: Helper) -> Iterator[Edit]:
    """Return what is kept, and whether it is what was given."""
    decl, value = store.decl, store.value
    assert value is not None
    function, body = decl.node, decl.node["body"]
    statement, type_ = store.access.node.statement, value.declaration.get("type")
    if statement is None or type_ is None or not is_assigned_once(value):
        raise BuilderError(f"{value.name} is set again")
    if function.get("result") is not None or statement.parent is not body:
        raise BuilderError(f"{decl.name} stores on some paths only, or returns something")
    returns = [n for n in function.own() if n.kind == "return_statement"]
    if returns or value.declaration.kind != "parameter_declaration":
        raise BuilderError(f"{decl.name} may return without a store")
    end = function["parameters"].end
    yield Edit(decl.file.path, end, end, f" ({type_.name}, bool)".encode())
    taken = set(taken_names(function))
    old, found = free_name("old", taken), free_name("ok", taken)
    lines = [*_releases(store, statement), f"return {old}, false"]
    inner = "\n".join(f"\t{line}" for line in lines)
    element = statement["left"].name
    yield from insert_before(statement, f"if {old}, {found} := {element}; {found} {{\n{inner}\n}}")
    yield from insert_after(body.statements[-1], f"return {value.name}, true")


def _closing_edits(use: Use) -> Iterator[Edit]:
    """Close what was not stored, and go on with what is kept."""
    file, call, name = use.site.file, use.call, use.value.name
    binding, statement = file.binding(use.value), call.parent
    if binding is None or binding.function is not call.function:
        raise BuilderError("what is stored has no name")
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the call is a part of a larger statement")
    taken = names_around(file, call)
    stored = free_name("stored", taken)
    later = any(u.start > call.end for u in binding.uses)
    if later and _kept_type(use) != str(file.type_of(use.value)):
        raise BuilderError(f"{name} has another type than what is kept")
    kept = free_name("kept", taken) if later else "_"
    lines = [f"{name}.Close()", *([f"{name} = {kept}"] if later else [])]
    inner = "".join(f"\t{line}\n" for line in lines)
    code = f"if {kept}, {stored} := {call.name}; !{stored} {{\n{inner}}}"
    yield from replace(statement, code)


def _kept_type(use: Use) -> str:
    """Return the type of the parameter that is stored, as the call knows it."""
    wanted = use.site.file.type_of(use.call["function"])
    given = next(i for i, a in enumerate(use.call["arguments"].children) if a is use.value)
    params = wanted.params if isinstance(wanted, Func) else ()
    return str(params[given]) if given < len(params) else ""


def _returns_error(decl: Decl) -> bool:
    """Return whether a method returns an error; raise where it returns something else."""
    result = decl.node.get("result")
    if result is None:
        return False
    if result.text != b"error":
        raise BuilderError(f"{decl.name} returns something else")
    return True


def _helper_edits(store: Helper, closes: bool) -> Iterator[Edit]:
    """Hand the kept value back: at the look before the store, and wherever the method returns."""
    decl, value = store.decl, store.value
    assert value is not None
    function, body = decl.node, decl.node["body"]
    statement = store.access.node.statement
    type_ = value.declaration.get("type")
    if statement is None or type_ is None or statement.parent is None:
        raise BuilderError("the store stands outside of a function")
    if value.declaration.kind != "parameter_declaration" or not is_assigned_once(value):
        raise BuilderError(f"{value.name} is set again")
    fails, path = _returns_error(decl), decl.file.path
    if fails:
        result = function["result"]
        yield Edit(path, result.start, result.end, f"({type_.name}, error)".encode())
    else:
        end = function["parameters"].end
        yield Edit(path, end, end, f" {type_.name}".encode())
    taken = set(taken_names(function))
    old, found = free_name("old", taken), free_name("ok", taken)
    lines = [*_releases(store, statement), *([f"{value.name}.Close()"] if closes else [])]
    lines.append(f"return {old}, nil" if fails else f"return {old}")
    inner = "\n".join(f"\t{line}" for line in lines)
    element = statement["left"].name
    yield from insert_before(statement, f"if {old}, {found} := {element}; {found} {{\n{inner}\n}}")
    returns = [n for n in function.own() if n.kind == "return_statement"]
    for node in returns:
        at = node.children[-1].start if fails else node.end
        text = f"{value.name}, " if fails else f" {value.name}"
        yield Edit(path, at, at, text.encode())
    if not fails and body.statements[-1].kind != "return_statement":
        yield from insert_after(body.statements[-1], f"return {value.name}")


def _releases(store: Helper, statement: Node) -> list[str]:
    """Return the Unlock that follows the store, nothing where it is deferred."""
    locks = locks_of(store.access.file, store.decl.node)
    ends = [o for o in locks.operations if o.releases]
    if any(o.deferred is not None for o in ends):
        return []
    following = [o for o in ends if o.call.start > statement.end and o.call.parent is not None]
    block = statement.parent
    release = following[0].call.parent if following else None
    if release is None or release.parent is not block or release.kind != "expression_statement":
        raise BuilderError("the lock is released elsewhere")
    return [release.name]


def _caller_edits(store: Helper, use: Use) -> Iterator[Edit]:
    """Take what is kept: `c = p.store(addr, c)`, or `c, err = …` in the place of `err := …`."""
    file, call, name = use.site.file, use.call, use.value.name
    binding = file.binding(use.value)
    if binding is None or store.value is None:
        raise BuilderError("what is stored has no name")
    if _kept_type(use) != str(file.type_of(use.value)):
        raise BuilderError(f"{name} has another type than what is kept")
    later = [u for u in binding.uses if u.start > call.end]
    if not _returns_error(store.decl):
        if call.parent is None or call.parent.kind != "expression_statement":
            raise BuilderError("the call is a part of a larger statement")
        if later:
            yield Edit(file.path, call.start, call.start, f"{name} = ".encode())
        return
    statement = keeper_of(call)
    if statement is None or statement.kind not in _KEEPERS:
        raise BuilderError("what the call returns is not kept")
    left = statement["left"]
    if len(left.children) != 1 or left.children[0].kind != "identifier":
        raise BuilderError("what the call returns is not kept")
    error = left.children[0]
    if statement.kind == "short_var_declaration" and not _is_known(file, error, statement):
        raise BuilderError(f"{error.name} has no variable around it")
    yield Edit(file.path, left.start, statement["right"].start, f"{name}, {error.name} = ".encode())


def _is_known(file: GoFile, error: Node, statement: Node) -> bool:
    """Return whether a variable of that name, an error too, is in scope above a statement."""
    function = statement.function
    for node in function.own() if function is not None else ():
        if node.kind == "short_var_declaration" and node.end < statement.start:
            block = node.parent
            if block is not None and block.contains(statement):
                for name in node["left"].children:
                    if name.text == error.text and str(file.type_of(name)) == "error":
                        return True
    return False
