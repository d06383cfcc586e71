"""What a run folder is worth, on one page: HTML with everything in it, and the same as Markdown beside its figures.

blocks    what stands on the page, in order, whoever shows it      _blocks.py, _tables.py
pictures  the figures as PNG                                       _draw.py, _attacked.py, _looks.py
page      the HTML                                                 _html.py
markdown  the Markdown                                             _markdown.py
write     both into a run folder, for its owner alone              _write.py
to_json, from_json   a Report as JSON, which has no infinity       _json.py
"""

from certunl.report._draw import Picture, draw
from certunl.report._findings import alarms, areas, claims, power
from certunl.report._html import page
from certunl.report._json import from_json, to_json
from certunl.report._markdown import markdown
from certunl.report._tables import Table, main, turned
from certunl.report._write import write

__all__ = [
    "Picture",
    "Table",
    "alarms",
    "areas",
    "claims",
    "draw",
    "from_json",
    "main",
    "markdown",
    "page",
    "power",
    "to_json",
    "turned",
    "write",
]
