"""LaTeX tables read strictly, where no compiler is."""

import re

KNOWN = {"begin", "end", "hline", "textbf", "scriptsize", "textbackslash", "textasciitilde", "textasciicircum", "ldots"}
KNOWN |= {
    "varepsilon",
    "delta",
    "infty",
    "geq",
    "leq",
    "pm",
    "times",
    "cdot",
    "bigtriangleup",
    "bigtriangledown",
    "surd",
}


def columns_of(text):
    """The cells of each row of a `tabular`."""
    body = text.split(r"\hline", 1)[1].rsplit(r"\hline", 1)[0].replace(r"\hline", "")
    rows = [row.strip() for row in re.split(r"\\\\(?=\n)", body)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", row)] for row in rows if row]


def faults(text):
    """What a compiler would refuse or misread, a sentence each."""
    table = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    sides = re.match(r"\\begin\{tabular\}\{((?:[lr]|p\{\d+cm\})+)\}\n\\hline\n", table)
    if not sides or not table.endswith("\\hline\n\\end{tabular}"):
        return ["no tabular"]
    width, found = len(re.findall(r"[lr]|p\{.*?\}", sides[1])), []
    found += ["not ASCII"] * (not table.isascii())
    found += [f"unknown \\{name}" for name in re.findall(r"(?<!\\)\\([A-Za-z]+)", table) if name not in KNOWN]
    for row in columns_of(table):
        found += [f"{len(row)} cells for {width} columns"] * (len(row) != width)
        found += ["a row that begins like a setting"] * row[0].startswith(("[", "*"))
        for cell in row:
            bare = re.sub(r"\\[\\{}$&#%_]|\\[`'^~=.\"uvc](?=\{)", "", cell)  # without escaped characters and accents
            found += [f"raw {char} in {cell!r}" for char in "%#_^~" if char in bare]
            found += [f"dollars in {cell!r}"] * (bare.count("$") % 2)
            depth = 0
            for char in bare:
                depth += (char == "{") - (char == "}")
                if depth < 0:
                    break
            found += [f"braces in {cell!r}"] * (depth != 0)
    return found
