"""python -m benchmarks zhang2024 | qiao2025 | beyond [--table NAME ...] [--scale small|paper]
python -m benchmarks accelerator [--help]
python -m benchmarks readme [--check]

Runs the experiments of a paper and writes its tables, figures and statements with verdicts. What is done is kept, so
that the same command goes on after a kill, and a second one only draws the pages again. `accelerator` times this
machine's GPU or TPU beside torch. `readme` writes the measured numbers of README.md, benchmarks/README.md and docs/
from what is kept.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

PAPERS = ("zhang2024", "qiao2025", "beyond")
RESULTS = Path(__file__).resolve().parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["readme"]:
        from benchmarks.readme import main as write

        return write(words[1:])
    if words[:1] == ["accelerator"]:
        sys.path.insert(0, str(RESULTS.parent))  # the scripts take each other by their bare names
        importlib.import_module("accelerator").main(words[1:])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paper", choices=PAPERS)
    parser.add_argument("--table", nargs="+", metavar="NAME", help="some tables; default: all")
    parser.add_argument("--scale", choices=("small", "paper"), default="small", help="small: two CPU cores, in minutes")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="folder of lines and pages; default: benchmarks/results"
    )
    parser.add_argument("--data", metavar="DIR", help="folder of data sets; default: $TFDS_DATA_DIR")
    parser.add_argument("--also", metavar="DIR", help="a second folder, for sets that are not in the first")
    parser.add_argument("--job", default="", metavar="TEXT", help="only the jobs with this text in their name")
    parser.add_argument("--afresh", action="store_true", help="do again what is kept")
    parser.add_argument("--draw", action="store_true", help="only draw the pages of what is kept")
    parser.add_argument("--check", action="store_true", help="compare with the committed lines; 1 if they differ")
    parser.add_argument("--list", action="store_true", help="print the names of the tables")
    given = parser.parse_args(words)
    if given.data:
        os.environ["TFDS_DATA_DIR"] = given.data
    if given.also:
        os.environ["CERTUNL_BENCHMARKS_DATA"] = given.also
    from benchmarks.papers.pages import write_figures, write_texts
    from benchmarks.papers.running import differences, lines_of, lines_path, run_table

    paper = importlib.import_module(f"benchmarks.papers.{given.paper}").PAPER
    tables = {table.name: table for table in paper.tables}
    if given.list:
        print("\n".join(f"{name:<16}{table.title}" for name, table in tables.items()))
        return 0
    if unknown := [name for name in given.table or [] if name not in tables]:
        parser.error(f"{given.paper} has no table {unknown[0]!r}; its tables are {', '.join(tables)}")
    wrong = []
    for name in () if given.draw else given.table or tables:
        path = lines_path(given.out, paper, given.scale, tables[name])
        if given.check and path == lines_path(RESULTS, paper, given.scale, tables[name]):
            parser.error("--check compares with the committed lines; give another folder by --out")
        if given.afresh:
            path.unlink(missing_ok=True)
        fresh = run_table(paper, tables[name], given.scale, given.out, given.job)
        if given.check:
            wrong += differences(tables[name], fresh, lines_of(lines_path(RESULTS, paper, given.scale, tables[name])))
    write_texts(paper, given.scale, given.out)
    write_figures(paper, given.scale, given.out)
    print(given.out / paper.name / given.scale / "README.md")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
