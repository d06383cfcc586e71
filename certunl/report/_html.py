"""The page as one self-contained HTML file, for a screen, a phone and a printer."""

import base64
import html
from collections.abc import Sequence
from typing import Any

from certunl.evaluation import Report
from certunl.evaluation.markup import markup
from certunl.evaluation.tables import Table
from certunl.report._blocks import Alarm, Block, Heading, Pictures, Printed, Words, blocks, pictures
from certunl.report._draw import Picture

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --line: #dcdcdc; --red: #b00020; --blue: #00558c; --brown: #8f4000;
  --ink: #1b1b1b; --soft: #555; --paper: #fff; --box: #f6f6f6; --alarm: #fdf0f0 }
@media screen and (prefers-color-scheme: dark) { :root { --line: #444; --red: #ff9a8f; --blue: #8cc8f5;
  --brown: #ffb77a; --ink: #eaeaea; --soft: #b4b4b4; --paper: #151515; --box: #222; --alarm: #331a1a } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere }
h1 { font-size: 1.6rem } h2 { margin-top: 3rem; border-bottom: 2px solid var(--line) } h3 { margin-top: 2rem }
nav ul { padding-left: 1.2rem }
div.wide { overflow-x: auto; margin: 1rem 0 .3rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; line-height: 1.35 }
th, td { padding: .25rem .55rem; text-align: right; border-top: 1px solid var(--line); white-space: nowrap;
  overflow-wrap: normal }
thead th { white-space: normal; vertical-align: bottom; min-width: 3.6rem; color: var(--soft) }
th:first-child { position: sticky; left: 0; background: var(--paper); text-align: left; white-space: normal;
  overflow-wrap: break-word; min-width: 8.2rem; max-width: 15rem; font-weight: 500;
  border-right: 1px solid var(--line) }
.words, .prose { text-align: left } td.prose { white-space: normal; overflow-wrap: anywhere; min-width: 15rem;
  max-width: 40rem }
table.many { font-size: 12px } table.many :is(th, td) { padding: .25rem .35rem }
tr.original > * { color: var(--brown) } tr.retrain > * { font-weight: 700 }
td.bad { color: var(--red); font-weight: 700 } td.odd { color: var(--blue); font-weight: 700 }
small { font-size: 11px; color: var(--soft) }
p.note, figcaption { font-size: 13px; color: var(--soft); margin: .2rem 0 1rem }
pre { background: var(--box); padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12.5px }
div.figures { display: grid; gap: 1.2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)) }
figure { margin: 0; max-width: 35rem } img { display: block; width: 100%; height: auto }
.warning, .alarm { border-left: .4rem solid var(--red); background: var(--alarm); padding: .6rem 1rem }
.alarm { font-weight: 600 }
@media (max-width: 30rem) { th:first-child { max-width: 8.6rem } th, td { padding: .25rem .4rem } }
@page { size: A4 landscape; margin: 12mm }
@media print { body { max-width: none; margin: 0; padding: 0; font-size: 10pt } div.wide { overflow: visible }
  table, table.many { font-size: 6.5pt } small { font-size: 5.5pt; white-space: normal }
  th, td, table.many :is(th, td) { padding: .1rem .25rem }
  thead th { min-width: 0 } th:first-child { position: static; min-width: 0; max-width: 9rem } nav { display: none }
  figure, pre, tr, .alarm, .warning { break-inside: avoid } h2, h3 { break-after: avoid }
  div.figures { grid-template-columns: 1fr 1fr } }
"""


def page(
    title: str,
    facts: dict[str, Any],
    reports: Sequence[Report],
    warnings: Sequence[str] = (),
    *,
    figures: list[list[Picture]] | None = None,
) -> str:
    """The HTML of the report.

    Args:
        title: the title of the page.
        facts: settings, versions and so on, by name; they may be nested.
        reports: the Reports, a chapter each.
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
            return markup(block)


def _figure(picture: Picture) -> str:
    data, caption = base64.b64encode(picture.png).decode(), html.escape(picture.said)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
