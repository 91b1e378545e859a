"""Jobs that a helper gives to a pool, and whose future it returns: `self._start(node)`."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from threadmend.model import Edit
from threadmend.python.builders.lines import indent_of, indent_unit, line_span
from threadmend.python.file import PythonFile
from threadmend.python.flow import is_text
from threadmend.python.functions import Function
from threadmend.python.threads import Spawn

__all__ = ["Started", "in_place_of", "started_by"]

_LONG = 88
"""Columns from which on a line is broken."""

_PLAIN = (ast.Name, ast.Attribute, ast.Constant)


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """`call` in `caller` of a `helper` that returns the future of a job; `spawn` is that job as
    what the call starts.
    """

    call: ast.Call
    caller: Function
    helper: Function
    spawn: Spawn

    def direct(self, file: PythonFile) -> str | None:
        """Return the call of the job's function in the words of the caller; None for a helper that
        does more than to choose the function.
        """
        submit = self.spawn.through.node if self.spawn.through is not None else None
        body = [s for s in self.helper.body if not is_text(s)]
        if not isinstance(submit, ast.Call) or submit.keywords or not submit.args:
            return None
        given, target = self._given(), submit.args[0]
        if given is None or len(body) > 2 or not isinstance(body[-1], ast.Return):
            return None
        if not _is_plain_return(file, submit):
            return None
        first = body[0]
        if len(body) == 2 and file.parent(submit) is not first:
            if not isinstance(first, ast.Assign) or not isinstance(first.targets[0], ast.Name):
                return None
            if not isinstance(target, ast.Name) or target.id != first.targets[0].id:
                return None
            target = first.value
        texts = [self._translated(file, one, given) for one in submit.args[1:]]
        args = ", ".join(text for text in texts if text is not None)
        sides = [target]
        if isinstance(target, ast.IfExp):
            sides = [target.body, target.test, target.orelse]
        said = [self._translated(file, one, given) for one in sides]
        if None in texts or None in said:
            return None
        if len(said) == 1:
            return f"{said[0]}({args})"
        return f"{said[0]}({args}) if {said[1]} else {said[2]}({args})"

    def _given(self) -> dict[str, ast.expr] | None:
        """Return what the helper's parameters are, where the call is plain."""
        names = self.helper.parameters[1:] if self.helper.self_name else self.helper.parameters
        call = self.call
        if call.keywords or len(call.args) != len(names):
            return None
        if not all(isinstance(arg, _PLAIN) for arg in call.args):
            return None
        if self.helper.self_name != self.caller.self_name:
            return None
        return dict(zip(names, call.args, strict=True))

    def _translated(
        self, file: PythonFile, node: ast.expr, given: dict[str, ast.expr]
    ) -> str | None:
        """Return the source of an expression with arguments in the place of parameters."""
        start, _ = file.span(node)
        text = file.text(node)
        if not text.isascii() or "\n" in text:
            return None
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        for name in sorted(names, key=lambda n: -file.span(n)[0]):
            binding = file.binding(name)
            if binding is not None and binding.scope is self.helper.scope:
                if name.id in given:
                    first, last = (at - start for at in file.span(name))
                    text = f"{text[:first]}{file.text(given[name.id])}{text[last:]}"
                elif name.id != self.helper.self_name:
                    return None
        return text


def started_by(file: PythonFile, job: Spawn, functions: Collection[Function]) -> Iterator[Started]:
    """Yield the calls in some functions of the helper that gives a job to its pool and returns the
    future.
    """
    helper = file.function(job.node)
    if helper is None or not _is_returned(file, job.node):
        return
    plain = job if job.through is None or job.through.node is not job.node else job.through
    for caller in sorted(functions, key=lambda f: getattr(f.node, "lineno", 0)):
        for call, callee in caller.callees.items():
            if callee is helper and caller.file is file and caller is not helper:
                yield Started(call, caller, helper, replace(plain, node=call, through=plain))


def _is_plain_return(file: PythonFile, submit: ast.AST) -> bool:
    """Return whether the future itself is returned, at once or by a variable."""
    return isinstance(file.parent(submit), ast.Return | ast.Assign)


def _is_returned(file: PythonFile, submit: ast.AST) -> bool:
    """Return whether a helper returns the future, a list of such futures, or a variable that is."""
    above = file.parent(submit)
    if isinstance(above, ast.ListComp) and above.elt is submit:
        above = file.parent(above)
    if not isinstance(above, ast.Assign):
        return isinstance(above, ast.Return)
    binding = file.binding(above.targets[0])
    if binding is None or len(binding.sites) != 1:
        return False
    used = [use for use in file.uses(binding) if isinstance(use.ctx, ast.Load)]
    return bool(used) and all(isinstance(file.parent(use), ast.Return) for use in used)


def in_place_of(file: PythonFile, call: ast.Call, text: str) -> tuple[Edit, ...] | None:
    """Return the edits that write something else as what a comprehension makes, over several
    lines where one would be too long.
    """
    above, statement = file.parent(call), file.statement(call)
    if not isinstance(above, ast.ListComp) or above.elt is not call:
        return None
    (start, end), (first, last) = file.span(above), file.span(call)
    line = line_span(file, statement)
    plain = (Edit(file.path, first, last, file.encode(text)),)
    long = line[1] - line[0] + len(text) - (last - first) > _LONG
    is_one = b"\n" not in file.data[start:end] and first == start + 1
    if not long or not is_one or file.data[last : last + 1] != b" ":
        return plain
    outside = file.source.newline + indent_of(file, statement)
    inside = outside + indent_unit(file, statement)
    return (
        Edit(file.path, first, last + 1, inside + file.encode(text) + inside),
        Edit(file.path, end - 1, end - 1, outside),
    )
