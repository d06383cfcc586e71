"""python -m benchmarks readme [--check]

Writes the measured numbers of README.md, benchmarks/README.md, docs/ and `certunl advise` from the lines of results/. A
table stands between the comments `table: NAME` and `end`, and is written whole. Everywhere else the words belong to the
page, and sentences.py has them again with the expression of each number. What is written twice the same changes
nothing. The figure of growth is drawn as well; `--check` does not compare it.
"""

import argparse
import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.advice_numbers import advice_numbers
from benchmarks.call_tables import CALL_TABLES
from benchmarks.certificate_tables import CERTIFICATE_TABLES
from benchmarks.device_tables import DEVICE_TABLES
from benchmarks.figures import draw_growth
from benchmarks.saved import RESULTS, Line, Saved
from benchmarks.sentences import Sentence, sentences
from benchmarks.tables import TABLES, markdown

__all__ = ["main", "pages", "unwritten", "written"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ADVICE = "certunl/planning/measured.json"
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
HOLE = re.compile(r"\{[^{}]*\}")
NUMBER = r"\d(?:[\d.,]*\d)?(?:e[-+]?\d+)?"
COUNTS = re.compile(r"^Of \d+ statements: (\d+) confirmed, (\d+) not confirmed, (\d+) open\.$", re.MULTILINE)


def pages(root: Path = ROOT) -> dict[str, str]:
    """{path from the root: text} of every page that may have measured numbers."""
    docs = [path for path in sorted((root / "docs").rglob("*.md")) if not {"_build", "notebooks"} & set(path.parts)]
    paths = [root / "README.md", root / "benchmarks" / "README.md", *docs]
    return {str(path.relative_to(root)): path.read_text() for path in paths}


def written(texts: Mapping[str, str], saved: Saved) -> dict[str, str]:
    """The pages with the tables and numbers of the saved lines.

    Raises: LookupError if no page says a sentence, if a page names an unknown table, or if a line is missing.
    """
    tables = {"papers": papers, "scripts": scripts} | TABLES | DEVICE_TABLES | CALL_TABLES | CERTIFICATE_TABLES
    new = dict(texts)
    for page, text in texts.items():
        if unknown := [name for _, name, _ in BLOCK.findall(text) if name not in tables]:
            raise LookupError(f"{page} has the table {unknown[0]!r}; known are {', '.join(tables)}")
        new[page] = BLOCK.sub(lambda block: f"{block[1]}\n{tables[block[2]](saved)}\n\n{block[3]}", text)
    for sentence in sentences(saved):
        matched = {page: filled(text, sentence) for page, text in new.items()}
        if not any(count for _, count in matched.values()):
            raise LookupError(f"no page says {sentence[0]!r}; change benchmarks/sentences.py with the page")
        new = {page: text for page, (text, _) in matched.items()}
    return new


def unwritten(text: str, said: Iterable[Sentence]) -> str:
    """The page without tables and without the numbers of these sentences."""
    text = BLOCK.sub("", text)
    for sentence in said:
        text = filled(text, sentence, blank=True)[0]
    return text


def filled(text: str, sentence: Sentence, *, blank: bool = False) -> tuple[str, int]:
    """(`text` with the numbers of a sentence, or with none, wherever it stands; the number of such places).

    Lines may break anywhere between words.
    """
    template, values = sentence
    parts = [r"\s+".join(map(re.escape, re.split(r"\s+", part))) for part in HOLE.split(template)]
    pattern = re.compile(rf"(?<!\w)({f'){NUMBER}('.join(parts)})")
    shown = [hole.format(value) for hole, value in zip(HOLE.findall(template), values, strict=True)]
    numbers = ["" if blank else re.sub(r"e([-+])0", r"e\1", number) for number in shown]

    def replaced(match: re.Match[str]) -> str:
        words = match.groups()
        return words[0] + "".join(number + word for number, word in zip(numbers, words[1:], strict=True))

    return pattern.subn(replaced, text)


def papers(saved: Saved) -> str:
    """The pages of `python -m benchmarks PAPER`, with their own counts."""
    rows = []
    for page in sorted(saved.results.glob("*/*/README.md")):
        text, (paper, scale) = page.read_text(), page.parts[-3:-1]
        counts = COUNTS.search(text)
        if counts is None:
            raise LookupError(f"results/{paper}/{scale}/README.md does not count its statements")
        title = text.splitlines()[0].removeprefix("# ")
        rows.append([f"[{title}](results/{paper}/{scale}/README.md)", scale, *counts.groups()])
    return markdown(["page", "scale", "confirmed", "not confirmed", "open"], rows) if rows else "No page is kept yet."


def scripts(saved: Saved) -> str:
    """Every script that can save a line, the question in the first line of its docstring, and its last line."""
    rows = []
    for path in sorted(HERE.glob("*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        if "[--save]" in doc:
            lines = saved.lines(path.stem)
            rows.append([f"`{path.name}`", doc.splitlines()[0], measured(lines[-1]) if lines else "not yet"])
    return markdown(["script", "question", "last measured"], rows)


def measured(line: Line) -> str:
    device = line["device"]
    machine = f"{device['cpu']}, {device['cpu_count']} cores" if device["backend"] == "cpu" else device["kind"]
    return f"{line['date'][:10]} at {line['commit']}, {machine}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks readme", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is stale")
    given = parser.parse_args(argv)
    texts, saved = pages(), Saved(RESULTS)
    new = written(texts, saved) | {ADVICE: advice_numbers(saved)}
    texts[ADVICE] = (ROOT / ADVICE).read_text() if (ROOT / ADVICE).exists() else ""
    stale = {page: text for page, text in new.items() if text != texts[page]}
    for page, text in stale.items():
        print(f"{page} is stale" if given.check else page)
        if not given.check:
            (ROOT / page).write_text(text)
    if not given.check:
        draw_growth(saved)
    return int(given.check and bool(stale))
