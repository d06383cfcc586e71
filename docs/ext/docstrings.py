"""Docstrings of plain text as reStructuredText: indented formulas become literal blocks, and their signs break nothing.

Google's `Args:` are read here as well: napoleon takes the first words of an attribute's docstring for a type.
"""

import re
from typing import Any

__all__ = ["as_rst", "plain", "setup"]

SECTION = re.compile(r"(Args|Returns|Yields|Raises|Attributes):$")
ENTRY = re.compile(r"(\*{0,2}\w+(?:, \w+)*(?: \([^)]*\))?): (.*)")
BULLET = re.compile(r"([*-]|\d+\.) +")
LABEL = re.compile(r"^(Raises|Source|Proof|Template):|(?<=\s)(Raises|Source|Differs):|^(Differs):")
TABLE = re.compile(r"\S {3,}\S")
CODE = re.compile(r"`[^`]+`")


def as_rst(lines: list[str]) -> list[str]:
    """The lines of a docstring for docutils.

    Outside `Args:` an indented line, or one with columns, begins a literal block. Doctests stay as they are.
    """
    out: list[str] = []
    kind = ""  # of the last line: text, section, list, literal or doctest
    for line in _code_on_one_line("\n".join(lines)).split("\n"):
        bare, indent = line.strip(), len(line) - len(line.lstrip())
        before, entry, mark = kind, ENTRY.match(bare), BULLET.match(bare)
        if not bare:
            out, kind = [*out, ""], "" if kind == "doctest" else kind
            continue
        if kind == "doctest" or bare.startswith(">>>"):
            kind, shown = "doctest", line
        elif SECTION.match(line):
            kind, shown = "section", f":{'Parameters' if bare == 'Args:' else bare[:-1]}:"
        elif kind == "section" and indent:
            named = indent == 4 and entry
            shown = f"    * **{plain(named[1])}** -- {plain(named[2])}" if named else f"      {plain(bare)}"
        elif mark and not indent:
            kind, shown = "list", mark[0] + plain(bare[mark.end() :])
        elif kind == "list" and 0 < indent < 4:
            shown = " " * indent + plain(bare)
        elif indent or TABLE.search(bare):
            kind, shown = "literal", f"    {line}"
        else:
            kind, shown = "text", plain(bare)
        if kind != before and kind != "doctest" and out and out[-1]:
            out.append("")
        if kind != before and kind == "literal":
            out += ["::", ""]
        out.append(shown)
    return [*out, ""]


def plain(text: str) -> str:
    """Prose in which only code in single backticks is marked up, and the words that begin a fixed part."""
    out, end = "", 0
    for code in CODE.finditer(text):
        out += _escaped(text[end : code.start()]) + ("" if text[: code.start()][-1:].isspace() or not out else "\\ ")
        end = code.end()
        out += f"`{code[0]}`" + ("" if not text[end:] or text[end].isspace() else "\\ ")
    return LABEL.sub(lambda found: f"**{found[0]}**", out + _escaped(text[end:]))


def _escaped(text: str) -> str:
    return re.sub(r"([\\*|_`])", r"\\\1", text)


def _code_on_one_line(text: str) -> str:
    return CODE.sub(lambda code: code[0] if "\n\n" in code[0] else re.sub(r"\s*\n\s*", " ", code[0]), text)


def setup(app: Any) -> dict[str, Any]:
    def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
        lines[:] = as_rst(lines)

    def skip(app: Any, what: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
        """Fields of named tuples and flax's `replace` have docstrings of others, and so has a bare `__call__`."""
        bare = name == "__call__" and not thing.__doc__
        return True if bare or type(thing).__name__ == "_tuplegetter" or name == "replace" else None

    def sign(app: Any, what: str, name: str, thing: Any, options: Any, *signature: Any) -> tuple[str, str] | None:
        """Verbs are asked on the command line: their parameters stand below."""
        return ("", "") if name.startswith("certunl.cli") else None

    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", sign)
    return {"parallel_read_safe": True}
