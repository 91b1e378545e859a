"""What every thread has of a subclass of `threading.local`, and how it gets more: class attributes
for values that nobody changes in place, else an `__init__`, which runs in each thread.
"""

from __future__ import annotations

import ast

from threadmend.model import Edit
from threadmend.python.builders import (
    BuilderError,
    add_method,
    insert_after,
    is_alone,
    nothing,
    replace_statement,
)
from threadmend.python.classes import Class
from threadmend.python.flow import is_text

__all__ = ["provided", "said_in_class"]


def provided(cls: Class, name: str) -> bool:
    """Return whether objects of a class have an attribute by what the class and its bases say."""
    for base in cls.mro:
        if "__getattr__" in base.methods or "__getattribute__" in base.methods:
            return True
        binding = base.scope.bindings.get(name)
        if binding is not None and any(site.kind != "annotation" for site in binding.sites):
            return True
        init = base.methods.get("__init__")
        for use in base.uses if init is not None else ():
            if use.name == name and use.mode == "write" and use.function in base.init_only:
                return True
    return False


def said_in_class(cls: Class, sets: list[tuple[str, ast.expr]]) -> tuple[Edit, ...]:
    """Return the edits that give every thread attributes with these values; raises BuilderError
    where the class has no room.
    """
    file, body = cls.file, cls.node.body
    if not all(is_alone(file, s) for s in body) or "__slots__" in cls.scope.bindings:
        raise BuilderError("the class has no room for what every thread has")
    init = cls.methods.get("__init__")
    is_fixed = all(isinstance(value, ast.Constant) for _, value in sets)
    lines = [f"{name} = {file.text(value)}" for name, value in sets]
    if not is_fixed and init is not None:
        if init.self_name is None or init.returns():
            raise BuilderError("the class's __init__ is left early")
        text = "\n".join(f"{init.self_name}.{line}" for line in lines)
        return insert_after(file, init.body[-1], text)
    if not is_fixed:
        inner = "\n".join(f"    self.{line}" for line in lines)
        text = f"def __init__(self){nothing(file)}:\n{inner}"
        return _in_place_of_nothing(cls, text) or add_method(cls, text + "\n", first=True)
    text = "\n".join(lines)
    return _in_place_of_nothing(cls, text) or _ahead(cls, text)


def _in_place_of_nothing(cls: Class, text: str) -> tuple[Edit, ...]:
    """Return the edits that write something where a class says `pass`; none where it says more."""
    last = cls.node.body[-1]
    said = [s for s in cls.node.body if not is_text(s)]
    is_pass = isinstance(last, ast.Pass) and said == [last]
    return replace_statement(cls.file, last, text) if is_pass else ()


def _ahead(cls: Class, text: str) -> tuple[Edit, ...]:
    """Return the edits that write attributes of a class ahead of its methods."""
    said = [s for s in cls.node.body if not is_text(s)]
    plain = [s for s in said if isinstance(s, ast.Assign | ast.AnnAssign)]
    if plain:
        return insert_after(cls.file, plain[-1], text)
    return add_method(cls, text + "\n", first=True)
