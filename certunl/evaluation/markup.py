"""A Table as HTML, for the page and for notebooks."""

import html

from certunl.evaluation.shading import KEY
from certunl.evaluation.tables import Table

__all__ = ["markup"]

_ABOVE, _BELOW, _FULL = "213, 94, 0", "0, 114, 178", 0.3
"""Vermilion and blue of Okabe and Ito 2008, so thin that dark text on white and light text on black stay legible."""


def markup(table: Table) -> str:
    """The HTML of `table` with its notes, without scripts. Colours of cells are styles of their own."""
    head = f"<thead>{_line(table, table.header, -1)}</thead>" if any(table.header) else ""
    rows = "".join(_line(table, row, number) for number, row in enumerate(table.rows))
    notes = [html.escape(note) for note in (table.note, table.key) if note]
    notes += [_key()] * bool(table.shades)
    many = " class=many" if max(map(len, (cell for row in table.rows for cell in row[1:2])), default=0) > 18 else ""
    note = f"<p class=note>{'<br>'.join(notes)}</p>" if notes else ""
    return f"<div class=wide tabindex=0><table{many}>{head}<tbody>{rows}</tbody></table></div>{note}\n"


def _line(table: Table, cells: list[str], number: int) -> str:
    body = []
    for column, cell in enumerate(cells):
        place = number, column
        kinds = [table.marks[place]] if place in table.marks else []
        kinds += ["prose" if number >= 0 and len(cell) > 40 else "words"] if column in table.words else []
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        style = f' style="{_colour(table.shades[place])}"' if place in table.shades else ""
        tag = "th" if number < 0 or column == 0 else "td"
        scope = " scope=row" if column == 0 and number >= 0 else ""
        small = f"<br><small>{html.escape(table.small[place])}</small>" if place in table.small else ""
        body.append(f"<{tag}{scope}{kind}{style}>{html.escape(cell)}{small}</{tag}>")
    row_class = f" class={cells[0]}" if number >= 0 and cells[0] in ("original", "retrain") else ""
    return f"<tr{row_class}>{''.join(body)}</tr>"


def _key() -> str:
    """The words of the colours, in their colours."""
    text = html.escape(KEY)
    for word, shade in (("Orange", 1.0), ("Blue", -1.0)):
        text = text.replace(word, f'<span style="{_colour(shade)}">{word}</span>', 1)
    return text


def _colour(shade: float) -> str:
    """The background of a cell, which lets the page's own background through."""
    return f"background: rgba({_ABOVE if shade > 0 else _BELOW}, {_FULL * abs(shade):.2f})"
