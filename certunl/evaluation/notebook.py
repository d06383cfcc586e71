"""A Report in a notebook."""

import html
from typing import TYPE_CHECKING

from certunl.evaluation.findings import alarms, every_table
from certunl.evaluation.lead import lead
from certunl.evaluation.markup import markup
from certunl.evaluation.tables import beside, heading

if TYPE_CHECKING:
    from certunl.evaluation.report import Report

__all__ = ["notebook"]

_STYLE = (
    ".certunl .wide { overflow-x: auto } .certunl td:not(.prose) { white-space: nowrap } "
    ".certunl small { opacity: .75 } .certunl :is(td.bad, td.odd, tr.retrain td) { font-weight: 700 } "
    ".certunl :is(th:first-child, .words) { text-align: left }"
)
"""Text keeps the colour of the notebook, light or dark."""


def notebook(report: "Report") -> str:
    """The first sentence, alarms and tables of the page as HTML, without figures and scripts."""
    parts = [f"<p>{html.escape(f'{heading(report)}. {lead(report)}')}</p>"]
    parts += [f"<p><strong>{html.escape(sentence)}</strong></p>" for sentence in alarms(report)]
    parts += [markup(beside(table) if name == "models" else table) for name, table in every_table(report).items()]
    return f"<div class=certunl><style>{_STYLE}</style>{''.join(parts)}</div>"
