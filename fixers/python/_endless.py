"""Workers that nothing ends, and that nobody joins: the process waits for them at its end."""

from __future__ import annotations

import ast
import re

from threadmend.model import Edit
from threadmend.python.arguments import default_of, keyword
from threadmend.python.builders import (
    BuilderError,
    add_method,
    free_attribute,
    insert_after,
    nothing,
    reference,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, target_of
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

from ._arguments import with_argument
from ._workers import each

__all__ = ["as_daemon", "behind_last_item", "is_left_alone"]

_ENDS = re.compile(rb"\bos\._exit\(|\bos\.kill\(|\bsignal\.pthread_kill\(|\b_exit\(")


def is_left_alone(file: PythonFile, spawn: Spawn) -> bool:
    """Return whether a thread is certainly no daemon, and nobody joins it."""
    if spawn.daemon or _ENDS.search(file.data):
        return False
    if isinstance(spawn.node, ast.ClassDef):
        return _is_plain_class(file, file.class_of(spawn.node))
    given = keyword(spawn.node, "daemon")
    if given is not None and not isinstance(given, ast.Constant):
        return False
    if spawn.through is not None and not _says_nothing(spawn.through, given):
        return False
    if any(k.arg is None for k in spawn.node.keywords):
        return False
    made = file.value(spawn.node)
    if made is None or made.type != "threading.Thread":
        return False
    name = _kept_as(file, spawn)
    if re.search(rb"\.daemon\s*=|setDaemon\(|daemon_threads", file.data):
        return False  # which thread it is about is not asked
    return not _joined_elsewhere(file, name)


def _says_nothing(inner: Spawn, given: ast.expr | None) -> bool:
    """Return whether the helper that makes a thread leaves it to its caller whether that is a
    daemon, and the parameter for it, where it has one, is False by default.
    """
    said = keyword(inner.node, "daemon") if isinstance(inner.node, ast.Call) else None
    helper = inner.file.function(inner.node)
    if said is None or given is not None:
        return True
    if not isinstance(said, ast.Name) or helper is None:
        return isinstance(said, ast.Constant) and not said.value
    default = default_of(helper.node.args, said.id)
    return isinstance(default, ast.Constant) and not default.value


def _takes_daemon(spawn: Spawn) -> bool:
    """Return whether the call that makes a thread may be told that it is a daemon: a helper hands
    that on.
    """
    inner = spawn.through
    if inner is None or not isinstance(inner.node, ast.Call):
        return True
    helper = inner.file.function(inner.node)
    rest = None if helper is None else helper.node.args.kwarg
    for word in inner.node.keywords:
        if word.arg is None and isinstance(word.value, ast.Name) and rest is not None:
            if word.value.id == rest.arg and keyword(inner.node, "daemon") is None:
                return True
        if word.arg == "daemon" and isinstance(word.value, ast.Name) and helper is not None:
            return word.value.id == "daemon" and default_of(helper.node.args, "daemon") is not None
    return False


def _is_plain_class(file: PythonFile, cls: Class) -> bool:
    """Return whether objects of a Thread class are no daemons, and nobody joins them."""
    if "daemon" in cls.scope.bindings or not cls.inherits("threading.Thread"):
        return False
    if any(use.name in {"daemon", "_daemonic"} for use in cls.uses):
        return False
    for path in file.project.paths:
        data = file.project.source(path).data
        if b"daemon" in data or b"setDaemon" in data:
            if path == file.path or file.encode(cls.name) in data:
                return False
        if b".join()" in data and file.encode(cls.name) in data and _may_join(file, path, cls):
            return False
    return bool(file.calls(cls.name)) or any(
        file.encode(f"{cls.name}(") in file.project.source(path).data
        for path in file.project.paths
        if path != file.path
    )


def _may_join(file: PythonFile, path: str, cls: Class) -> bool:
    """Return whether a file may wait for a thread of a class: a queue or another one is not it."""
    other = file.project.readable(path)
    if other is None:
        return True
    for call in other.calls("join"):
        if call.args or call.keywords or not isinstance(call.func, ast.Attribute):
            continue
        value = other.value(call.func.value)
        if value is None or (value.cls is not None and (cls in value.cls.mro)):
            return True
    return False


def _kept_as(file: PythonFile, spawn: Spawn) -> str | None:
    """Return the last name of the variable or attribute that keeps a thread, or the list."""
    above = file.parent(spawn.node)
    held = None
    if isinstance(above, ast.Assign | ast.AnnAssign):
        target = above.targets[0] if isinstance(above, ast.Assign) else above.target
        held = file.text(target)
    assert isinstance(spawn.node, ast.Call)
    listed = each(file, spawn)
    text = listed if listed is not None and not listed.startswith("range(") else held
    return None if text is None else text.rpartition(".")[2]


def _joined_elsewhere(file: PythonFile, name: str | None) -> bool:
    """Return whether a file of the project joins or ends something of that name."""
    if name is None:
        return False
    word = re.compile(rb"\b" + file.encode(name) + rb"\b")
    for path in file.project.paths:
        data = file.project.source(path).data
        if (b".join(" in data or b".daemon" in data) and word.search(data):
            if path != file.path or _joins(file, name):
                return True
    return False


def _joins(file: PythonFile, name: str) -> bool:
    """Return whether the file joins a thread: one of that name, or an element of the list."""
    for call in file.calls("join", "is_alive"):
        func = call.func
        if not isinstance(func, ast.Attribute) or isinstance(func.value, ast.Constant):
            continue
        if file.text(func.value).rpartition(".")[2] == name:
            return True
        loop = next((a for a in ancestors(call) if isinstance(a, ast.For)), None)
        if loop is not None and name in file.text(loop.iter):
            return True
    return False


def behind_last_item(file: PythonFile, use: QueueUse, spawn: Spawn) -> tuple[ast.stmt, str] | None:
    """Return the statement after which no more items come, and what to put then: every item is
    put by the function that starts the workers.
    """
    function, begin, workers = _started_in(file, spawn)
    fed = [*use.puts, *use.joins]
    if function is None or not use.puts or any(file.function(c) is not function for c in fed):
        return None
    block = function.body
    tops = [s for s in block if any(call in set(ast.walk(s)) for call in fed)]
    started = next((s for s in block if begin in set(ast.walk(s))), None)
    if started is None or not tops or block.index(tops[-1]) < block.index(started):
        return None
    last = tops[-1]
    if isinstance(last, ast.Return) or any(isinstance(n, ast.Return) for n in ast.walk(last)):
        return None
    queue = next(c.func.value for c in fed if isinstance(c.func, ast.Attribute))
    put = f"{file.text(queue)}.put(None)"
    if not spawn.many:
        return last, put
    return None if workers is None else (last, f"for _ in {workers}:\n    {put}")


def _started_in(file: PythonFile, spawn: Spawn) -> tuple[Function | None, ast.AST, str | None]:
    """Return the function that starts the workers, what does it, and what to loop over for as many
    rounds: that which makes them; or, of those that an object makes and keeps, the only method
    that starts them, which can be called once only.
    """
    function, workers = file.function(spawn.node), each(file, spawn) if spawn.many else None
    made = (function, spawn.node, workers)
    kept = workers if spawn.many else _kept_attribute(file, spawn)
    cls = None if function is None else function.cls
    if function is None or function.name != "__init__" or cls is None or kept is None or cls.heirs:
        return made
    name = kept.removeprefix(f"{function.self_name}.")
    uses = cls.uses_of(name)
    found = [(one, top) for one in uses if (top := _start(one.function, one.node, spawn.many))]
    if len(found) != 1 or found[0][0].function in {function, *cls.init_only}:
        return made
    use, top = found[0]
    return (use.function, top, file.text(use.node)) if use.function.file is file else made


def _kept_attribute(file: PythonFile, spawn: Spawn) -> str | None:
    above = file.parent(spawn.node)
    kept = target_of(above) if isinstance(above, ast.Assign | ast.AnnAssign) else None
    return file.text(kept) if isinstance(kept, ast.Attribute) else None


def _start(function: Function, node: ast.expr, many: bool) -> ast.stmt | None:
    """Return the statement of a function, in no other one, that starts the thread which an
    attribute keeps, or each of a list.
    """
    above, text = function.file.parent(node), function.file.text(node)
    if isinstance(above, ast.For) and above.iter is node and many:
        text, block = function.file.text(above.target), above.body
    else:
        block = [] if many else [function.file.statement(node)]
    started = f"{text}.start()"
    top = above if many else function.file.statement(node)
    if not any(function.file.text(statement) == started for statement in block):
        return None
    return top if isinstance(top, ast.stmt) and top in function.body else None


def as_daemon(file: PythonFile, use: QueueUse, spawn: Spawn) -> tuple[tuple[Edit, ...], bool]:
    """Return the edits that make a worker a daemon, and whether one that puts None for it at
    the end of the program is among them: where nobody waits for the items themselves.
    """
    if use.joins and not _is_owned(file, use, spawn):
        return _daemon(file, spawn), False
    cls, starter = _owner(file, spawn)
    if cls is None or starter.self_name is None or use.place.kind != "attribute":
        raise BuilderError("who could end the worker cannot be told")
    me = starter.self_name
    queue = f"{me}.{use.place.name.rpartition('.')[2]}"
    name = free_attribute(cls, "_finish")
    register, added = reference(file, "atexit.register", starter.node)
    anchor = _last_of_start(file, spawn, starter)
    text = _finish(file, spawn, me, queue, name)
    return (
        *_daemon(file, spawn),
        *insert_after(file, anchor, f"{register}({me}.{name})"),
        *add_method(cls, text),
        *added,
    ), True


def _is_owned(file: PythonFile, use: QueueUse, spawn: Spawn) -> bool:
    """Return whether an object has made a queue and keeps the only thread that takes from it: it
    can let that end, with what was put after the last wait for its items.
    """
    above = file.parent(spawn.node)
    kept = target_of(above) if isinstance(above, ast.Assign | ast.AnnAssign) else None
    is_own = isinstance(kept, ast.Attribute) and is_self(file, kept.value)
    starter = file.function(spawn.node)
    is_initial = starter is not None and starter.name == "__init__"
    return is_own and is_initial and not spawn.many and use.place.kind == "attribute"


def _owner(file: PythonFile, spawn: Spawn) -> tuple[Class | None, Function]:
    """Return the class that has the worker, and the method that makes the thread."""
    if isinstance(spawn.node, ast.ClassDef):
        cls = file.class_of(spawn.node)
        init = cls.methods.get("__init__")
        if init is None:
            raise BuilderError("the class has no __init__")
        return cls, init
    function = file.function(spawn.node)
    if function is None:
        raise BuilderError("the thread is made at module level")
    return function.cls, function


def _daemon(file: PythonFile, spawn: Spawn) -> tuple[Edit, ...]:
    """Return the edit of the constructor, or of the call of Thread's."""
    if isinstance(spawn.node, ast.Call):
        given = keyword(spawn.node, "daemon")
        if not _takes_daemon(spawn):
            raise BuilderError("the helper that makes the thread is not told what it is to be")
        if given is not None:
            return (Edit(file.path, *file.span(given), b"True"),)
        return (with_argument(file, spawn.node, "daemon=True"),)
    return (with_argument(file, _base_call(file, spawn), "daemon=True"),)


def _base_call(file: PythonFile, spawn: Spawn) -> ast.Call:
    assert isinstance(spawn.node, ast.ClassDef)
    cls = file.class_of(spawn.node)
    init = cls.methods.get("__init__")
    for call in init.calls if init is not None else ():
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr == "__init__":
            if any(k.arg in {None, "daemon"} for k in call.keywords):
                break
            if not any(isinstance(a, ast.Starred) for a in call.args) and _is_last_base(cls):
                return call
    raise BuilderError("the call of Thread's __init__ is not seen")


def _is_last_base(cls: Class) -> bool:
    """Return whether the class derives from Thread itself."""
    return len(cls.base_names) == 1 and not cls.bases


def _last_of_start(file: PythonFile, spawn: Spawn, starter: Function) -> ast.stmt:
    """Return the statement of the starting method behind which the thread is kept."""
    if isinstance(spawn.node, ast.ClassDef):
        return starter.body[-1]
    for statement in starter.body:
        if spawn.node in set(ast.walk(statement)):
            return statement
    raise BuilderError("the thread is made in a nested function")


def _finish(file: PythonFile, spawn: Spawn, me: str, queue: str, name: str) -> str:
    """Return the method that ends the worker when the program ends."""
    head = f'def {name}({me}){nothing(file)}:\n    """Let the worker do what is left, and end."""\n'
    if isinstance(spawn.node, ast.ClassDef):
        return f"{head}    if {me}.is_alive():\n        {queue}.put(None)\n        {me}.join()\n"
    above = file.parent(spawn.node)
    target = above.targets[0] if isinstance(above, ast.Assign) else None
    if isinstance(target, ast.Attribute) and is_self(file, target.value) and not spawn.many:
        thread = file.text(target)
        body = f"    if {thread}.is_alive():\n        {queue}.put(None)\n        {thread}.join()\n"
        return head + body
    threads = each(file, spawn) if spawn.many else None
    if threads is None or not threads.startswith(f"{me}."):
        raise BuilderError("the threads are not kept")
    if block_of(file.statement(spawn.node)) is None:
        raise BuilderError("the threads are not kept")
    return (
        f"{head}    for thread in {threads}:\n        if thread.is_alive():\n"
        f"            {queue}.put(None)\n    for thread in {threads}:\n"
        "        if thread.is_alive():\n            thread.join()\n"
    )
