"""Figures as PDF and SVG, tables as CSV and LaTeX, beside the page."""

import csv
import dataclasses
import io
import math
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import certunl as cu
from certunl.evaluation.tables import Table
from certunl.report import write
from certunl.report._latex import latex
from tests import reports
from tests.test_report import audit, small
from tests.tex import columns_of, faults

FORMATS = ("pdf", "svg", "csv", "tex")
HOSTILE = ["<b>&\"'", "_hidden", "a $x^2$ of $y$", "モデル|`é`ø", "long" * 30, "[x]*", "*y\\z{", "50% #1 ~^"]


@pytest.fixture(scope="module")
def hostile():
    rows = small().rows | {name: {"test_accuracy": 0.5, "distance": -1e-5} for name in HOSTILE}
    verdicts, left_out = dict.fromkeys(HOSTILE, "PROVED"), dict.fromkeys(HOSTILE, "because " * 20)
    more = {"examples": {"test": 100}, "left_out": left_out, "audits": {HOSTILE[0]: audit(2.0)}}
    return small(rows=rows, verdicts=verdicts, request="100%_{x}", **more)


@pytest.fixture(scope="module")
def full():
    report = reports.report(attacks=("lira",))
    rows = {n: {c: v for c, v in row.items() if not c.startswith("class_")} for n, row in report.rows.items()}
    return dataclasses.replace(report, rows=rows, tradeoffs={})


@pytest.fixture(scope="module")
def folder(full, hostile, tmp_path_factory):
    place = tmp_path_factory.mktemp("files")
    write(place, "x", {}, [full, hostile], formats=FORMATS)
    return place / "report"


def test_every_figure_and_every_table_is_there_in_every_format(folder):
    names = {path.name for path in folder.iterdir()}
    figures = {name.removesuffix(".png") for name in names if name.endswith(".png")}
    tables = {"models", "audits", "attacks", "rates", "left-out"}
    tables = {f"1-{name}" for name in tables} | {"2-models", "2-audits", "2-left-out"}
    assert names == {f"{name}.{form}" for name in figures for form in ("png", "pdf", "svg")} | {
        f"{name}.{form}" for name in tables for form in ("csv", "tex")
    } | {"tables.tex"}
    assert len(figures) == 7 and all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    for path in folder.glob("*.pdf"):
        content = path.read_bytes()
        assert content.startswith(b"%PDF-") and b"/Type3" not in content and b"CreationDate" not in content
    for path in folder.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_csv_of_the_models_has_every_number_unrounded(full, folder):
    lines = list(csv.DictReader(io.StringIO((folder / "1-models.csv").read_text())))
    assert [line["model"] for line in lines] == list(full.rows)
    for line in lines:
        for column, value in full.rows[line["model"]].items():
            assert float(line[column]) == value or (math.isnan(value) and line[column] == "nan")
        assert float(line["lira_auc"]) == full.attacks[line["model"]]["lira"].auc
    audits = list(csv.reader(io.StringIO((folder / "1-audits.csv").read_text())))
    assert audits[0][:3] == ["model", "finding", "claimed"] and ["rewind_to_delete", "REFUTED"] in [
        a[:2] for a in audits
    ]
    hostile = list(csv.DictReader(io.StringIO((folder / "2-models.csv").read_text())))
    assert [line["model"] for line in hostile] == ["original", "retrain", *HOSTILE]


def test_latex_is_whole_and_says_what_the_table_says(folder):
    for path in folder.glob("*-*.tex"):
        assert faults(path.read_text()) == [], path.name
    lines = columns_of((folder / "2-models.tex").read_text())
    assert lines[0] == ["model", "verdict", "relative distance", "test accuracy", "distance"]
    assert lines[3][1:] == [r"\textbf{PROVED: REFUTED}", "-", r"0.5 {\scriptsize {[}0.404, 0.596{]}}", "$-$1e-05"]
    assert [line[0] for line in lines[3:]] == [
        r'$<$b$>$\&{"}{' + "'}",
        r"\_hidden",
        r"a \$x\textasciicircum{}2\$ of \$y\$",
        r"{[}U+30E2{]}{[}U+30C7{]}{[}U+30EB{]}$|${`}\'{e}{`}{[}U+00F8{]}",
        "long" * 30,
        "{[}x{]}{*}",
        r"{*}y\textbackslash{}z\{",
        r"50\% \#1 \textasciitilde{}\textasciicircum{}",
    ]
    assert r"ε = 1" not in (text := (folder / "1-audits.tex").read_text()) and r"$\varepsilon$ $\geq$ 2.314" in text
    assert set(re.findall(r"\\fitted\{\\input\{(.*?)\}", (folder / "tables.tex").read_text())) == {
        path.name for path in folder.glob("*-*.tex")
    }


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ("a & b_1", "raw _"),
        ("a & 5%", "raw %"),
        ("a & {b", "braces"),
        ("a", "1 cells for 2 columns"),
        ("a & b & c", "3 cells for 2 columns"),
        ("a & é", "not ASCII"),
        (r"a & \unknown", "unknown"),
        ("a & $b", "dollars"),
        ("[a] & b", "setting"),
    ],
)
def test_what_latex_would_refuse_is_seen(broken, fault):
    text = latex(Table(["x", "y"], [["a", "b"]]))
    assert faults(text) == []
    assert any(fault in found for found in faults(text.replace("a & b", broken)))


def test_the_document_of_all_tables_compiles(folder, tmp_path):
    compiler = next((name for name in ("pdflatex", "tectonic") if shutil.which(name)), None)
    if compiler is None:
        pytest.skip("no LaTeX compiler on PATH")
    shutil.copytree(folder, tmp_path / "tex")
    words = ["-interaction=nonstopmode", "-halt-on-error"] if compiler == "pdflatex" else []
    done = subprocess.run([compiler, *words, "tables.tex"], cwd=tmp_path / "tex", capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tex" / "tables.pdf").stat().st_size > 5000


def test_formats_that_nobody_asked_for_go_and_other_files_stay(tmp_path):
    write(tmp_path, "x", {}, [small()], formats=FORMATS)
    first = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert set(first) == {
        "models.csv",
        "models.tex",
        "tables.tex",
        *(f"01-distance.{f}" for f in ("png", "pdf", "svg")),
    }
    write(tmp_path, "x", {}, [small()], formats=FORMATS)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == first  # no date in any file
    (tmp_path / "report" / "tables.pdf").write_text("mine")
    write(tmp_path, "x", {}, [small()])
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"01-distance.png", "tables.pdf"}
    with pytest.raises(cu.BadInput, match="formats must be one of pdf, svg, csv, tex, got 'xls'"):
        write(tmp_path, "x", {}, [small()], formats=("pdf", "xls"))
