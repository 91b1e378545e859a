"""Channel fields that nothing but an option makes: without it they stay nil.

func Depth(n int) Option {                        func configure(opts []Option) config {
    return func(c *config) {                          var c config
        c.frames = make(chan Frame, n)                for _, o := range opts { o(&c) }
    }                                                 return c
}                                                 }
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, add_element
from threadmend.golang.calls import code_files
from threadmend.golang.channel_fields import Make, SharedChannel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._made_in_some import Forgotten
from ._options_after import applied_to

__all__ = ["made_by_options"]


def made_by_options(
    channel: SharedChannel, hangs: ChannelOperation | None, type_: Node
) -> Iterator[Forgotten]:
    """Yield the values that options are applied to and that have no channel without one."""
    if hangs is None or not channel.makes or channel.nils or channel.stores or channel.exported:
        return
    if any(e.parent is not None and e.parent.kind == "unary_expression" for e in channel.escapes):
        return
    options = {_option_of(make) for make in channel.makes}
    if len(options) != 1 or None in options:
        return
    for file in code_files(channel.package):
        for function in file.functions():
            for call in function.own():
                if call.kind == "call_expression" and len(call["arguments"].children) == 1:
                    holder = _holder(file, call, channel)
                    if holder is not None:
                        yield Forgotten(file, holder, hangs, _fix(channel, holder, type_))


def _option_of(make: Make) -> str | None:
    """Return the type of the option whose literal makes the channel, None outside of one."""
    literal = make.call.function
    maker = literal.function if literal is not None and literal.kind == "func_literal" else None
    values = literal.parent if literal is not None else None
    if maker is None or maker.kind != "function_declaration" or values is None:
        return None
    if values.parent is None or values.parent.kind != "return_statement":
        return None
    results = result_nodes(maker)
    return results[0].name if len(results) == 1 else None


def _holder(file: GoFile, call: Node, channel: SharedChannel) -> Node | None:
    """Return what declares the value that an option is applied to, when it begins without any."""
    for access in applied_to(file, call, address=True):
        root = access.root
        if access.steps != (channel.name,) or not isinstance(root, Binding):
            continue
        if root.kind != "variable" or root.function is not call.function:
            continue
        declared = root.declaration
        if declared.kind == "var_spec" and declared.get("value") is None:
            type_ = declared.get("type")
            alone = len(declared.all("name")) == 1
            return declared if alone and type_ is not None and _is_of(channel, type_) else None
        value = root.value
        if value is not None and value.kind == "unary_expression":
            value = value["operand"]
        if value is not None and value.kind == "composite_literal":
            if _is_of(channel, value["type"]):
                return value
    return None


def _is_of(channel: SharedChannel, type_: Node) -> bool:
    return type_.text.partition(b"[")[0] == channel.decl.name.encode()


def _fix(channel: SharedChannel, holder: Node, type_: Node) -> Fix | None:
    """Make the channel with the value; the option puts another one in its place.

    Sound: on nil its operations only hang or panic.
    """
    made = f"{channel.name}: make({type_.name})"
    if "." in type_.name and channel.decl.file.path != holder.path:
        return None
    try:
        if holder.kind == "composite_literal":
            edits = add_element(holder, made)
        else:
            declaration = holder.parent
            if declaration is None or declaration.kind != "var_declaration":
                return None
            text = f"{holder['name'].name} := {holder['type'].name}{{{made}}}"
            edits = (Edit(holder.path, declaration.start, declaration.end, text.encode()),)
    except BuilderError:
        return None
    title = f"Make {channel.name} in any case"
    return Fix(title, tuple(edits), Safety.UNSAFE, "values without the option get a channel")
