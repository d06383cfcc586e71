"""A Table in LaTeX, without any package."""

import re
import unicodedata
from collections.abc import Iterable

from certunl.evaluation.tables import Table

__all__ = ["document", "latex"]

_WRITTEN = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{char: f"${char}$" for char in "<>|"},
    **{char: f"{{{char}}}" for char in "[]*\"'`"},  # [ and * after the end of a row are settings, two quotes are one
    **{"ε": r"$\varepsilon$", "δ": r"$\delta$", "√": r"$\surd$", "‖": r"$\|$", "½": "$1/2$", "…": r"\ldots{}"},
    **{"∞": r"$\infty$", "≥": r"$\geq$", "≤": r"$\leq$", "±": r"$\pm$", "\u00d7": r"$\times$", "\u2212": "$-$"},
    **{"▲": r"$\bigtriangleup$", "▼": r"$\bigtriangledown$", "·": r"$\cdot$", "\u2013": "--", "—": "---"},
}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0304": "="}
_ACCENTS |= {"\u0307": ".", "\u0306": "u", "\u030c": "v", "\u0327": "c"}
"""The accents that TeX sets on any letter, as Unicode combines them."""

_DOCUMENT = r"""% The tables of a report of certunl. A paper of your own shows one of them with \input{FILE}.
\documentclass{article}
\usepackage[a4paper, landscape, margin=1cm]{geometry}
\usepackage{graphicx}
\pagestyle{empty}
\setlength{\parindent}{0pt}
\newcommand{\fitted}[1]{\setbox0=\hbox{#1}\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\box0}\else\box0\fi}
\begin{document}
TABLES
\end{document}
"""


def latex(table: Table) -> str:
    r"""The table as a `tabular` for \input in a paper. It needs no package; unknown characters become their number."""
    long = {j for j in table.words for row in table.rows if len(row[j]) > 40}
    sides = ["p{9cm}" if j in long else "l" if j == 0 or j in table.words else "r" for j in range(len(table.header))]
    body = [[_cell(table, i, j) for j in range(len(row))] for i, row in enumerate(table.rows)]
    lines = [" & ".join(row) + r" \\" for row in ([_written(cell) for cell in table.header], *body)]
    parts = [rf"\begin{{tabular}}{{{''.join(sides)}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"]
    notes = [f"% {' '.join(note.split())}" for note in (table.note, table.key) if note]
    return "\n".join([*notes, *parts, r"\end{tabular}"]) + "\n"


def document(files: Iterable[tuple[str, str]]) -> str:
    """A document that compiles by itself and shows every (caption, file)."""
    pages = [f"{_written(caption)}\\par\\medskip\\fitted{{\\input{{{file}}}}}\\clearpage" for caption, file in files]
    return _DOCUMENT.replace("TABLES", "\n".join(pages))


def _cell(table: Table, i: int, j: int) -> str:
    text = _written(table.rows[i][j])
    below = f" {{\\scriptsize {_written(table.small[i, j])}}}" if (i, j) in table.small else ""
    return (rf"\textbf{{{text}}}" if (i, j) in table.marks else text) + below


def _written(text: str) -> str:
    """`text` on one line, with its characters as LaTeX has them and a minus before numbers."""
    words = "".join(map(_character, " ".join(text.split())))
    return re.sub(r"(?<![\w.})-])-(?=\d)", "$-$", words)


def _character(char: str) -> str:
    if char in _WRITTEN or char.isascii():
        return _WRITTEN.get(char, char if char.isprintable() else " ")
    letter, *accents = unicodedata.normalize("NFD", char)
    if letter.isascii() and len(accents) == 1 and accents[0] in _ACCENTS:
        return f"\\{_ACCENTS[accents[0]]}{{{letter}}}"
    return f"{{[}}U+{ord(char):04X}{{]}}"
