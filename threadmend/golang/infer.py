"""Type inference: what an expression's type is, which field or method a selector means.

Works on syntax alone, lazily and with memory; whatever it cannot tell is None. It follows
the Go specification as far as receivers of concurrency operations need it: no constant
evaluation, no assignability, inference of type arguments by unification only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.infer_calls import Calls
from threadmend.golang.infer_expressions import Expressions
from threadmend.golang.infer_members import Members, Selection
from threadmend.golang.infer_names import Names, is_decl
from threadmend.golang.infer_types import Denotations
from threadmend.golang.infer_values import Values

if TYPE_CHECKING:
    from threadmend.golang.file import Import
    from threadmend.golang.package import Decl
    from threadmend.golang.scope import Binding
    from threadmend.golang.syntax import Node
    from threadmend.golang.types import Type, TypeParam
    from threadmend.golang.workspace import Workspace

__all__ = ["Inference", "Selection", "is_decl"]


class Inference:
    """Answers for one workspace, remembered by the parts that give them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.names = Names(self)
        self.types = Denotations(self)
        self.members = Members(self)
        self.values = Values(self)
        self.calls = Calls(self)
        self.expressions = Expressions(self)

    def resolve(self, node: Node) -> Binding | Decl | Import | None:
        """Return what an identifier means; None for predeclared, fields and unknown names."""
        return self.names.resolve(node)

    def is_field_key(self, node: Node) -> bool:
        """Return whether an identifier is the field name in `T{name: value}`."""
        return self.names.is_field_key(node)

    def type_of(self, node: Node | None) -> Type | None:
        """Return the type of an expression; a `Tuple` for a call with several results."""
        return self.expressions.type_of(node)

    def value_type(self, node: Node | None) -> Type | None:
        """Return the type that a variable gets when it is initialised with `node`."""
        return self.expressions.value_type(node)

    def callee(self, call: Node) -> Decl | None:
        """Return the function or method declaration that a call certainly runs."""
        return self.calls.callee(call)

    def function_decl(self, node: Node) -> Decl | None:
        """Return the function or method declaration that a function expression names."""
        return self.calls.function_decl(node)

    def selection(self, node: Node) -> Selection | None:
        """Return which package member, field or method a selector means."""
        return self.members.selection(node)

    def member(self, type_: Type, name: str) -> Selection | None:
        """Return the field or method of a type, found through embedding breadth first."""
        return self.members.member(type_, name)

    def is_complete(self, type_: Type) -> bool:
        """Return whether all that a type declares or embeds is at hand.

        Only then does a member that was not found not exist.
        """
        return self.members.is_complete(type_)

    def type_from(self, node: Node | None) -> Type | None:
        """Return the type that a type expression denotes, aliases resolved."""
        return self.types.type_from(node)

    def underlying(self, type_: Type | None) -> Type | None:
        """Return the type behind a name; a predeclared type is its own."""
        return self.types.underlying(type_)

    def core(self, param: TypeParam) -> Type | None:
        """Return the core type of a type parameter's constraint (`~[]E`), if it has one."""
        return self.types.core(param)

    def decl_type(self, decl: Decl) -> Type | None:
        """Return the type of a package-level function, method, variable or constant."""
        return self.values.decl_type(decl)

    def binding_type(self, binding: Binding) -> Type | None:
        """Return the type of a local variable, parameter or constant."""
        return self.values.binding_type(binding)
