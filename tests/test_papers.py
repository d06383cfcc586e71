"""The commands of the papers: jobs are done once, pages say what the lines say, and committed pages are not stale."""

import importlib
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import PAPERS, RESULTS, main
from benchmarks.papers import pages
from benchmarks.papers.running import differences, kept, lines_path, run_table
from benchmarks.papers.table import Column, Job, Paper, Statement, Table, holds, mean
from certunl.errors import BadInput

SCALES = ("small", "paper")
FOLDERS = [(paper, scale) for paper in PAPERS for scale in SCALES if (RESULTS / paper / scale / "README.md").exists()]


def load(name):
    return importlib.import_module(f"benchmarks.papers.{name}").PAPER


def toy(calls, value=2.0, missing="the files of nowhere are missing"):
    """A paper with one table of two seeds of one job, and one job that cannot be done."""

    def work(seed):
        calls.append(seed)
        if seed == 2:
            raise BadInput(missing)
        return [
            {"data": "a_b", "method": "ours & theirs", "seed": seed, "x": value + seed, "seconds": 1.0, "says": "yes"}
        ]

    def jobs(scale):
        return [Job(f"seed {seed}", {"seed": seed, "scale": scale}, lambda s=seed: work(s)) for seed in range(3)]

    def statements(rows):
        number = mean(rows, "x", data="a_b")
        return [Statement("x is above 2", "> 2", f"{number:g}", number > 2, "" if number > 2 else "it is small")]

    columns = (Column("x", "x ± of 50%"), Column("seconds", "s", tolerance=None))
    table = Table(
        name="t",
        title="A table",
        stands_for="Nothing.",
        jobs=jobs,
        by=("data", "method"),
        columns=columns,
        words=("says",),
        published=({"data": "a_b", "method": "theirs", "x": "7"},),
        statements=statements,
        draw=lambda rows, figure: figure.subplots().plot([row["x"][0] for row in rows]),
    )
    return Paper(name="toy", title="Toy", about="About.", tables=(table,)), table


def test_a_job_is_done_once_also_after_a_kill_that_cut_the_last_line_short(tmp_path):
    calls: list[int] = []
    paper, table = toy(calls)
    lines = run_table(paper, table, "small", tmp_path)
    assert calls == [0, 1, 2] and [bool(line["left_out"]) for line in lines] == [False, False, True]
    path = lines_path(tmp_path, paper, "small", table)
    text = path.read_text()
    path.write_text(text[:-40])
    assert run_table(paper, table, "small", tmp_path)[:2] == lines[:2] and calls == [0, 1, 2, 2]
    assert len(path.read_text().splitlines()) == 3
    assert run_table(paper, table, "small", tmp_path, only="seed 1") == lines[1:2]


def test_the_page_has_means_deviations_published_rows_verdicts_and_what_is_left(tmp_path):
    paper, table = toy([])
    run_table(paper, table, "small", tmp_path)
    pages.write_texts(paper, "small", tmp_path)
    pages.write_figures(paper, "small", tmp_path)
    folder = tmp_path / "toy" / "small"
    page = (folder / "README.md").read_text()
    assert "| a_b | ours & theirs | 2 | 2.5 ± 0.71 | 1 ± 0 | yes |" in page
    assert "| a_b | theirs (published) | - | 7 | - | - |" in page
    assert "x is above 2 | > 2 | 2.5 | **confirmed**" in page
    assert "seed 2 is left out: the files of nowhere are missing" in page
    assert "| 2 of 3 | 0 of 3 | 3 at the paper's size" in page
    assert (folder / "t.csv").read_text().splitlines()[1] == "a_b,ours & theirs,yes,2.5,0.7071068,2,1,0,2"
    latex = (folder / "t.tex").read_text()
    assert r"a\_b & ours \& theirs & 2 & 2.5 $\pm$ 0.71" in latex and r"of 50\%" in latex
    assert (folder / "t.svg").read_text().startswith("<?xml") and (folder / "t.pdf").read_bytes()[:4] == b"%PDF"
    assert pages.texts(paper, "small", tmp_path)["README.md"] == page


def test_a_false_statement_is_not_confirmed_and_says_why(tmp_path):
    paper, table = toy([], value=-5.0)
    run_table(paper, table, "small", tmp_path)
    page = pages.texts(paper, "small", tmp_path)["README.md"]
    assert (
        "**not confirmed** | it is small" in page
        and "Of 1 statements: 0 confirmed, 1 not confirmed, 0 open.\nNot confirmed: x is above 2 (-4.5; it is small)."
        in page
    )


def test_statements_are_judged_when_every_job_is_done_and_a_missing_number_leaves_them_open(tmp_path):
    paper, table = toy([])
    run_table(paper, table, "small", tmp_path, only="seed 1")
    page = pages.texts(paper, "small", tmp_path)["README.md"]
    assert "Of 0 statements" in page and "Its statements are judged when all 3 jobs are done." in page
    assert holds(1 < 2, 1.0, 2.0) is True and holds(2 < 1, 2.0) is False and holds(math.nan < 1, math.nan) is None
    assert Statement("x", "-", "-", holds(True, math.nan)).verdict == "open"


def test_no_folder_of_a_machine_is_kept(tmp_path):
    paper, table = toy(
        [], missing="set 'a' is not in /home/me/data: put T/x.txt, and/or y, into '/home/me/data/a' (28 / 2)"
    )
    line = run_table(paper, table, "small", tmp_path)[2]
    assert line["left_out"] == "set 'a' is not in data: put T/x.txt, and/or y, into 'a' (28 / 2)"
    for path in RESULTS.rglob("*"):
        if path.suffix in (".md", ".jsonl", ".csv", ".tex"):
            assert not re.search(r"(?<!\w)/(work|home|root|tmp|Users)/", path.read_text()), path


def test_lines_of_other_settings_do_not_count(tmp_path):
    paper, table = toy([])
    run_table(paper, table, "small", tmp_path)
    path = lines_path(tmp_path, paper, "small", table)
    line = json.loads(path.read_text().splitlines()[0])
    path.write_text(path.read_text() + json.dumps(line | {"settings": {"seed": 7}}) + "\n")
    assert [one["job"] for one in kept(tmp_path, paper, "small", table)] == ["seed 0", "seed 1", "seed 2"]


def test_check_finds_another_number_and_leaves_seconds_alone(tmp_path):
    paper, table = toy([])
    lines = run_table(paper, table, "small", tmp_path)
    other = json.loads(json.dumps(lines))
    other[0]["rows"][0]["seconds"] = 99.0
    other[0]["rows"][0]["x"] *= 1.04
    assert differences(table, lines, other) == []
    other[0]["rows"][0]["x"] *= 1.04
    other[1]["rows"] = []
    other[2]["left_out"] = ""
    found = "\n".join(differences(table, lines, other))
    assert "x is 2.0, committed is 2.16" in found and "other rows" in found and "left out now" in found
    assert "no committed line" in differences(table, lines, [])[0]


def test_check_leaves_alone_what_noise_drawn_anew_changes(tmp_path):
    paper, table = toy([])
    lines = run_table(paper, table, "small", tmp_path)
    other = json.loads(json.dumps(lines))
    other[0]["rows"][0]["x"] *= 2
    table = replace(table, columns=(Column("x", "x", floor=0.05),))
    assert len(differences(table, lines, other)) == 1
    assert differences(replace(table, noised=lambda _: True), lines, other) == []
    exact = replace(table, columns=(Column("x", "x"),), noised=lambda _: True)
    assert len(differences(exact, lines, other)) == 1


def test_the_command_names_the_tables_that_there_are(capsys):
    assert main(["zhang2024", "--list"]) == 0
    assert "sequential" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["zhang2024", "--table", "nowhere"])
    assert "zhang2024 has no table 'nowhere'; its tables are methods" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["zhang2024", "--check"])
    assert "give another folder by --out" in capsys.readouterr().err


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("scale", SCALES)
def test_jobs_have_settings_of_their_own_that_are_json(name, scale):
    for table in load(name).tables:
        jobs = table.jobs(scale)
        words = [json.dumps(job.settings, sort_keys=True) for job in jobs]
        assert len(set(words)) == len(jobs) and len({job.name for job in jobs}) == len(jobs)
        assert all(json.loads(text) == job.settings for text, job in zip(words, jobs, strict=True)), table.name


@pytest.mark.parametrize(("name", "scale"), FOLDERS)
def test_the_committed_pages_are_those_of_the_committed_lines(name, scale):
    for file, content in pages.texts(load(name), scale, RESULTS).items():
        assert (RESULTS / name / scale / file).read_text() == content, f"python -m benchmarks {name} --draw"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    paper, table = toy([])
    run_table(paper, table, "small", tmp_path)
    body = pages.texts(paper, "small", tmp_path)["t.tex"]
    Path(tmp_path / "a.tex").write_text(rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}")
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "a.tex"], cwd=tmp_path, check=True, capture_output=True)
