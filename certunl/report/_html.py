"""The page as one self-contained HTML file, for a screen, a phone and a printer."""

import base64
import html
from collections.abc import Sequence
from typing import Any

from certunl.evaluation.tables import Table
from certunl.report._blocks import Alarm, Block, Heading, Pictures, Printed, Reports, Words, blocks, pictures
from certunl.report._draw import Picture

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light; --line: #dcdcdc; --red: #b00020 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b;
  background: #fff; overflow-wrap: anywhere }
h1 { font-size: 1.6rem } h2 { margin-top: 3rem; border-bottom: 2px solid var(--line) } h3 { margin-top: 2rem }
nav ul { padding-left: 1.2rem }
div.wide { overflow-x: auto; margin: 1rem 0 .3rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; line-height: 1.35 }
th, td { padding: .25rem .55rem; text-align: right; border-top: 1px solid var(--line); white-space: nowrap;
  overflow-wrap: normal }
thead th { white-space: normal; vertical-align: bottom; min-width: 3.6rem; color: #444 }
th:first-child { position: sticky; left: 0; background: #fff; text-align: left; white-space: normal;
  overflow-wrap: break-word; min-width: 8.2rem; max-width: 15rem; font-weight: 500;
  border-right: 1px solid var(--line) }
.words, .prose { text-align: left } td.prose { white-space: normal; overflow-wrap: anywhere; min-width: 15rem;
  max-width: 40rem }
table.many { font-size: 12px } table.many :is(th, td) { padding: .25rem .35rem }
tr.original > * { color: #a44a00 } tr.retrain > * { font-weight: 700 }
td.bad { color: var(--red); font-weight: 700 } td.odd { color: #00558c; font-weight: 700 }
p.note, figcaption { font-size: 13px; color: #555; margin: .2rem 0 1rem }
pre { background: #f6f6f6; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12.5px }
div.figures { display: grid; gap: 1.2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)) }
figure { margin: 0; max-width: 35rem } img { display: block; width: 100%; height: auto }
.warning, .alarm { border-left: .4rem solid var(--red); background: #fdf0f0; padding: .6rem 1rem }
.alarm { font-weight: 600 }
@media (max-width: 30rem) { th:first-child { max-width: 8.6rem } th, td { padding: .25rem .4rem } }
@page { size: A4 landscape; margin: 12mm }
@media print { body { max-width: none; margin: 0; padding: 0; font-size: 10pt } div.wide { overflow: visible }
  table, table.many { font-size: 6.5pt } th, td, table.many :is(th, td) { padding: .1rem .25rem }
  thead th { min-width: 0 } th:first-child { position: static; min-width: 0; max-width: 9rem } nav { display: none }
  figure, pre, tr, .alarm, .warning { break-inside: avoid } h2, h3 { break-after: avoid }
  div.figures { grid-template-columns: 1fr 1fr } }
"""


def page(
    title: str,
    facts: dict[str, Any],
    reports: Reports,
    warnings: Sequence[str] = (),
    *,
    figures: list[list[Picture]] | None = None,
) -> str:
    """The HTML of the report.

    Args:
        title: the title of the page.
        facts: settings, versions and so on, by name; they may be nested.
        reports: each Report with its printed certificates.
        warnings: sentences at the top of the page.
        figures: the figures of each Report if they exist already.
    """
    parts = list(blocks(title, facts, reports, warnings, pictures(reports) if figures is None else figures))
    chapters = {place: b.text for place, b in enumerate(parts) if isinstance(b, Heading) and b.level == 2}
    body = [_shown(block, f" id=part-{place}" * (place in chapters)) for place, block in enumerate(parts)]
    if len(chapters) > 2:
        links = [f'<li><a href="#part-{place}">{html.escape(text)}</a>' for place, text in chapters.items()]
        body.insert(min(chapters), f"<nav><ul>{''.join(links)}</ul></nav>\n")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def _shown(block: Block, anchor: str) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}{anchor}>{html.escape(text)}</h{level}>\n"
        case Words(text):
            return f"<p>{html.escape(text)}</p>\n"
        case Alarm(text, kind):
            return f"<p class={kind}>{html.escape(text)}</p>\n"
        case Printed(text):
            return f"<pre>{html.escape(text)}</pre>\n"
        case Pictures(figures):
            return f"<div class=figures>{''.join(map(_figure, figures))}</div>\n" if figures else ""
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    def line(cells: list[str], number: int) -> str:
        body = []
        for column, cell in enumerate(cells):
            kinds = [table.marks[number, column]] if (number, column) in table.marks else []
            kinds += ["prose" if number >= 0 and len(cell) > 40 else "words"] if column in table.words else []
            kind = f' class="{" ".join(kinds)}"' if kinds else ""
            tag = "th" if number < 0 or column == 0 else "td"
            scope = " scope=row" if column == 0 and number >= 0 else ""
            body.append(f"<{tag}{scope}{kind}>{html.escape(cell)}</{tag}>")
        row_class = f" class={cells[0]}" if number >= 0 and cells[0] in ("original", "retrain") else ""
        return f"<tr{row_class}>{''.join(body)}</tr>"

    head = f"<thead>{line(table.header, -1)}</thead>" if any(table.header) else ""
    rows = "".join(line(row, number) for number, row in enumerate(table.rows))
    note = f"<p class=note>{html.escape(table.note)}</p>" if table.note else ""
    many = " class=many" if max(map(len, (cell for row in table.rows for cell in row[1:2])), default=0) > 18 else ""
    return f"<div class=wide tabindex=0><table{many}>{head}<tbody>{rows}</tbody></table></div>{note}\n"


def _figure(picture: Picture) -> str:
    data, caption = base64.b64encode(picture.png).decode(), html.escape(picture.said)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
