"""The code that waits on a timer and on a stop, in place of a sleep."""

from __future__ import annotations

import re

from threadmend.golang.builders import free_name, names_around, replace
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["wait_on_timer"]

_SLEEPS = re.compile(r"\w+\.Sleep\(|<-\w+\.After\(")

_CODE = """\
{timer} := {package}.NewTimer({duration})
select {{
case <-{receive}:
	{stopped}
case <-{timer}.C:
}}"""


def wait_on_timer(
    file: GoFile, sleep: Node, receive: str, leave: str = "", *, package: str = ""
) -> tuple[Edit, ...]:
    """Replace the statement of `time.Sleep(d)` or `<-time.After(d)`; may raise BuilderError.

    `receive` is what tells of the stop (`ctx.Done()`), `leave` the statement to go on with then.
    `package` is what package time is called, where the sleep does not say it.
    """
    statement = sleep.statement
    assert statement is not None
    names = names_around(file, sleep)
    before = statement.previous
    while before is not None:  # a sleep further up in the block is replaced as well
        if _SLEEPS.match(before.name):
            names = names | {free_name("timer", names)}
        before = before.previous
    timer = free_name("timer", names)
    code = _CODE.format(
        timer=timer,
        package=package or sleep["function"]["operand"].name,
        duration=sleep["arguments"].children[0].name,
        receive=receive,
        stopped=f"{timer}.Stop()" + (f"\n\t{leave}" if leave else ""),
    )
    return replace(statement, code)
