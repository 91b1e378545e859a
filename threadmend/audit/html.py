"""The page as one HTML file: no scripts, nothing from outside, pictures as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from threadmend.audit.page import Cell, Code, Page, Section, Table, parts
from threadmend.graph import Graph
from threadmend.inventory import Spot
from threadmend.report.drawing import svg
from threadmend.report.text import printable

__all__ = ["html"]

Link = Callable[[str, int], str]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2326; --soft: #55636b; --paper: #fff; --line: #d5dde1;
  --good: #1b6e31; --gap: #a32020; --info: #3d5866; --link: #0a558c; --code: #f1f4f6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaed; --soft: #a3b1b9; --paper: #14191c;
  --line: #364147; --good: #7bd88f; --gap: #ff9a94; --info: #a8c4d4; --link: #7cc0f5;
  --code: #20282c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .3rem; }
a { color: var(--link); } p { margin: .3rem 0; } .soft { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--line); } thead th { color: var(--soft); font-weight: 500; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .88em/1.4 ui-monospace, monospace; background: var(--code); padding: .1em .3em;
  border-radius: 3px; overflow-wrap: anywhere; }
.state { font-weight: 700; } .ok { color: var(--good); } .gap { color: var(--gap); }
.info { color: var(--info); }
figure { margin: 1rem 0; } figcaption { font-weight: 600; }
.picture { overflow-x: auto; background: #fff; color: #000; border: 1px solid var(--line);
  color-scheme: light; }
@media print { .picture, .wide { overflow: visible; } a { color: inherit; } }
"""


def html(page: Page, link: Link) -> str:
    """Return the page; `link` is asked for the address of a path and line."""
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(page.title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{_text(page.title)}</h1>",
        f'<p class="soft">{_text(page.subtitle)}</p>',
        *_summary(page),
        *_commands(page),
        *(line for section in page.sections for line in _section(section, link)),
        *_left_alone(page),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _summary(page: Page) -> Iterator[str]:
    if not page.sections:
        return
    yield '<div class="wide"><table><caption>Checklist</caption>'
    yield '<thead><tr><th scope="col">State</th><th scope="col">Point</th>'
    yield '<th scope="col">Figures</th></tr></thead><tbody>'
    for section in page.sections:
        title = _text(section.title)
        named = f'<a href="#{section.name}">{title}</a>' if _is_long(section) else title
        state = section.state.value
        yield (
            f'<tr><td class="state {state}">{state}</td><th scope="row">{named}</th>'
            f"<td>{_text(section.headline)}</td></tr>"
        )
    yield "</tbody></table></div>"


def _is_long(section: Section) -> bool:
    return bool(section.tables or section.graphs)


def _commands(page: Page) -> Iterator[str]:
    if not page.commands:
        return
    yield '<section aria-labelledby="fix-now"><h2 id="fix-now">What can be fixed now</h2>'
    yield '<div class="wide"><table><thead><tr><th scope="col">Command</th>'
    yield '<th scope="col">What it does</th></tr></thead><tbody>'
    for command in page.commands:
        yield f"<tr><td>{_code(command.text)}</td><td>{_text(command.does)}</td></tr>"
    yield "</tbody></table></div></section>"


def _section(section: Section, link: Link) -> Iterator[str]:
    if not _is_long(section):
        return
    name = section.name
    yield f'<section aria-labelledby="{name}"><h2 id="{name}">{_text(section.title)}</h2>'
    yield f"<p>{_text(section.headline)}</p>"
    for note in section.notes:
        yield f'<p class="soft">{_text(note)}</p>'
    for table in section.tables:
        yield from _table(table, link)
    for number, graph in enumerate(section.graphs):
        yield from _figure(graph, f"{name}-{number}-")
    yield "</section>"


def _table(table: Table, link: Link) -> Iterator[str]:
    yield f'<div class="wide"><table><caption>{_text(table.title)} ({len(table.rows)})</caption>'
    heads = "".join(f'<th scope="col">{_text(column)}</th>' for column in table.columns)
    yield f"<thead><tr>{heads}</tr></thead><tbody>"
    for row in table.shown:
        yield f"<tr>{''.join(_cell(cell, link) for cell in row)}</tr>"
    yield "</tbody></table></div>"
    if table.left:
        yield f'<p class="soft">and {table.left:,} more</p>'


def _cell(cell: Cell, link: Link) -> str:
    if isinstance(cell, int):
        return f'<td class="number">{cell:,}</td>'
    said = ""
    for part in parts(cell):
        if isinstance(part, Spot):
            shown = _text(f"{part.path}:{part.line}")
            said += f'<a href="{escape(link(part.path, part.line))}">{shown}</a>'
        else:
            said += _code(part) if isinstance(part, Code) else _text(str(part))
    return f"<td>{said}</td>"


def _figure(graph: Graph, prefix: str) -> Iterator[str]:
    drawn = "\n".join(printable(line) for line in svg([graph], prefix).split("\n"))
    title = _text(graph.title)
    yield f'<figure><div class="picture" role="img" aria-label="{title}" tabindex="0">'
    yield drawn.strip()
    yield f"</div><figcaption>{title}</figcaption></figure>"


def _left_alone(page: Page) -> Iterator[str]:
    if page.unreadable:
        yield '<section aria-labelledby="left-alone"><h2 id="left-alone">Left alone</h2><ul>'
        for item in page.unreadable:
            yield f"<li>{_code(item.path)}: {_text(item.reason)}</li>"
        yield "</ul></section>"


def _text(text: str) -> str:
    return escape(printable(text))


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>" if text else ""
