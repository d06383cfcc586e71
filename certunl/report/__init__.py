"""The results of a run folder on one page, as self-contained HTML and as Markdown with its figures in files beside it.

blocks    the contents of the page, in order, for both formats      _blocks.py
pictures  the figures as PNG                                        _draw.py, _attacked.py, _tradeoff.py, _looks.py
page      the HTML                                                  _html.py
markdown  the Markdown                                              _markdown.py
write     both, in a run folder, readable by its owner only;        _write.py, _latex.py
          also figures as PDF and SVG, tables as CSV and LaTeX
to_json, from_json   a Report as JSON, and back                     _json.py
"""

from certunl.report._draw import Picture, draw
from certunl.report._html import page
from certunl.report._json import from_json, to_json
from certunl.report._markdown import markdown
from certunl.report._write import check_formats, write

__all__ = [
    "Picture",
    "check_formats",
    "draw",
    "from_json",
    "markdown",
    "page",
    "to_json",
    "write",
]
