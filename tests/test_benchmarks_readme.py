"""The measured numbers of README.md, benchmarks/README.md and docs/ are those of saved lines. There are no others."""

import importlib
import json
import re
from pathlib import Path

import pytest

from benchmarks.call_tables import CALL_TABLES
from benchmarks.certificate_tables import CERTIFICATE_TABLES
from benchmarks.device_tables import DEVICE_TABLES
from benchmarks.figures import draw_growth
from benchmarks.papers.pages import texts
from benchmarks.readme import filled, pages, papers, unwritten, written
from benchmarks.saved import RESULTS, Saved
from benchmarks.sentences import sentences
from benchmarks.tables import TABLES

ROOT = Path(__file__).parents[1]
PAGES = pages()
NEW = written(PAGES, Saved())
SAID = list(sentences(Saved()))
QUESTIONS = [name for name in re.findall(r"`(\w+)\.jsonl`", PAGES["benchmarks/README.md"]) if name != "products"]

WORDS = "two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|hundred|thousand"
UNITS = r"(?:ms|s|[kMGKT]i?B|seconds?|minutes?|hours?|times|points|percent)\b|%"
MEASURED = re.compile(
    rf"(?<![\w.])\d[\d,]*\.\d+(?:e[-+]?\d+)?|(?<![\w.])\d+e[-+]?\d+"
    rf"|(?<![\w.,])\d[\d,]*[\s-]?(?:{UNITS})|\b(?:{WORDS})\s+(?:{UNITS})"
)
"""Decimals, powers of ten, and numbers with a unit."""
SETTINGS = {
    "epsilon 1 and delta 1e-5": "a budget",
    "(1, 1e-5)": "a budget",
    "at delta 1e-5": "a budget",
    "forgot 1% of": "the size of a request",
    "an AUC of 0.75": "an example",
    "AUCs and true positive rates have 95% intervals": "the confidence, fixed in membership/roc.py",
    "at 1% and 0.1% false positives": "the rates of a column",
    "Python 3.11 to 3.13": "versions",
    "JAX 0.10 to 0.12": "versions",
    "Apache-2.0": "a licence",
    "1.5 times the largest eigenvalue": "the margin of LiSSA's scale",
    "1.5 times the most negative": "the margin of Newton's damping",
    "the bias falls to 1%": "the name of a cost, depth_for_1%",
    "within 3 MiB of rows on a CPU": "the size of a block of rows",
    "within 4 GiB on another device": "the size of a block of rows",
    "every 30 seconds": "the default of Checkpoints",
    "under three names is counted three times": "an example",
    "round to about 1e-3": "the 10 bits of TF32",
}
"""Numbers that are no measurements, with their words, and what they are."""


def strangers(text):
    """The numbers of a page that no saved line gives and no setting explains. Code is left out."""
    text = re.sub(r"^```.*?^```", "", unwritten(text, SAID), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(?<=\n\n)(?:    .*\n|\n)+", "", text)
    text = " ".join(re.sub(r"`[^`]+`|\]\([^)]*\)", "", text).split())
    for words in SETTINGS:
        text = text.replace(words, "")
    return MEASURED.findall(text)


def doctored(folder, question, change):
    """A copy of the results whose lines of one question have `change` applied to every decimal number."""

    def walk(value):
        if isinstance(value, dict):
            return {key: walk(one) for key, one in value.items()}
        if isinstance(value, list):
            return [walk(one) for one in value]
        return change(value) if isinstance(value, float) else value

    for path in RESULTS.glob("*.jsonl"):
        lines = path.read_text().splitlines()
        if path.stem == question:
            lines = [
                json.dumps({key: v if key == "settings" else walk(v) for key, v in json.loads(t).items()})
                for t in lines
            ]
        (folder / path.name).write_text("\n".join(lines) + "\n")
    return Saved(folder)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_numbers_of_the_saved_lines(page):
    assert NEW[page] == PAGES[page], "run: python -m benchmarks readme"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != "docs/refusals.md"]
)  # test_refusals has its answers
def test_a_page_has_no_other_measured_number(page):
    assert strangers(PAGES[page]) == []


@pytest.mark.parametrize(
    "claim", ["It takes 3.5 s.", "It takes 3 s.", "four times as fast", "saves 12% of it", "an error of 2e-6", "0.93"]
)
def test_a_measured_number_that_no_line_has_is_noticed(claim):
    assert len(strangers(PAGES["README.md"] + claim)) == 1


def test_no_setting_is_explained_that_no_page_has():
    text = " ".join(" ".join(page.split()) for page in PAGES.values())
    assert [words for words in SETTINGS if words not in text] == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_another_result_makes_a_page_stale(question, tmp_path):
    assert written(PAGES, doctored(tmp_path, question, lambda value: 1.3 * value)) != PAGES


def test_a_new_line_counts_and_the_line_before_no_longer(tmp_path):
    saved = doctored(tmp_path, "shadows", lambda value: value)
    line = json.loads((tmp_path / "shadows.jsonl").read_text().splitlines()[-1])
    line["ours"]["median"] = 9.876
    with (tmp_path / "shadows.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    new = written(PAGES, saved)
    assert f"128 shadow models take 9.9 s, and {line['peers']['torch']['median']:.1f}" in " ".join(
        new["README.md"].split()
    )
    assert "Together they take 9.88 s" in " ".join(new["benchmarks/README.md"].split())


def test_an_altered_number_is_written_again():
    altered = PAGES
    for template, values in SAID:
        before, other = altered, (template, tuple(3 * value + 2 for value in values))
        altered = {page: filled(text, other)[0] for page, text in altered.items()}
        assert altered != before, template
    assert written(altered, Saved()) == PAGES


def test_an_altered_table_is_written_again():
    text = PAGES["benchmarks/README.md"]
    altered = re.sub(r"(<!-- table: \w+ -->\n)", r"\1| 0.123 |", text)
    elsewhere = {"advice"}  # stands in docs/choosing.md
    assert altered.count("0.123") == len({*TABLES, *DEVICE_TABLES, *CALL_TABLES, *CERTIFICATE_TABLES} - elsewhere) + 2
    assert written(PAGES | {"benchmarks/README.md": altered}, Saved()) == PAGES


def test_a_sentence_that_no_page_says_and_an_unknown_table_are_named():
    page = PAGES["README.md"].replace("shadow models take", "shadow models need")
    with pytest.raises(LookupError, match="no page says '128 shadow models take"):
        written(PAGES | {"README.md": page}, Saved())
    with pytest.raises(LookupError, match=r"README.md has the table 'nothing'"):
        written(PAGES | {"README.md": "<!-- table: nothing -->\n<!-- end -->"}, Saved())


def test_a_missing_line_is_named(tmp_path):
    with pytest.raises(LookupError, match=r"^results/lissa.jsonl has no line$"):
        written(PAGES, Saved(tmp_path))


def test_scripts_and_results_belong_together():
    page = PAGES["benchmarks/README.md"]
    listed = set(re.findall(r"^\| `(\w+)\.py` \|", page, re.MULTILINE))
    assert {path.stem for path in RESULTS.glob("*.jsonl")} | set(QUESTIONS) <= listed
    released = "(unreleased)" not in (ROOT / "CHANGELOG.md").read_text()
    assert not released or "Not measured yet" not in page


def test_products_have_a_table_once_they_are_measured(tmp_path):
    product = {"model": "cnn", "asked": "a product", "parameters": 21840, "batch_size": 64}
    memory = product | {"asked": "bytes", "product_bytes": 2**21, "chain_bytes": 2**22, "ten_chains_bytes": 2**23}
    lines = [
        {"settings": product, "ours": {"median": 1.0}, "peers": {"gradients": {"ratio": 0.4}}},
        {"settings": memory, "ours": {"median": 1.0}, "peers": {}},
        {
            "settings": product | {"asked": "LiSSA", "depth": 100},
            "ours": {"median": 0.5},
            "peers": {"torch double backward": {"median": 2.0}},
        },
    ]
    (tmp_path / "products.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = TABLES["products"](Saved(tmp_path))
    assert "| cnn | 21,840 | 64 | 2.50 |" in text
    assert "2 MiB for products on one fixed batch, 4 for one chain of a recursion, and 8 for ten" in text
    assert "takes 0.50 s, and torch's double backward 2.00 s." in text


def test_growth_has_a_table_and_a_figure_once_it_is_measured(tmp_path):
    growth, lines = DEVICE_TABLES["growth"], []
    assert draw_growth(Saved(tmp_path)) is None and growth(Saved(tmp_path)).startswith("Not measured yet")
    for work, varied, values, fitted, error in (
        ("rows", "n, fixed epochs", [128, 2048], [128, 2048], 0.012),
        ("newton", "devices", [1, 2, 4], [1, 2], None),
    ):
        settings = {"work": work, "method": f"method of {work}", "varied": varied, "values": values, "expected": 2}
        medians = [0.5 * value for value in values]
        facts = {"medians": medians, "seconds": [[0.4 * values[0], medians[0], 0.7 * values[0]]]}
        facts["seconds"] += [[0.9 * one, one, 1.1 * one] for one in medians[1:]]
        facts |= {"exponent": 1.0, "standard_error": error}
        lines.append({"settings": settings | {"fitted": fitted}, **facts})
    (tmp_path / "growth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = growth(Saved(tmp_path))
    assert "| method of rows | n, fixed epochs | 128, 2,048 | 64 (51 to 90), 1,024 | 1.00 ± 0.01 | 2 |" in text
    assert "| method of newton | devices | 1, 2, 4 | 0.5 (0.4 to 0.7), 1, 2 | 1.00 (1 to 2) | 2 |" in text
    drawn = draw_growth(Saved(tmp_path)).read_bytes()
    for words in ("examples n", "steps T", "rows, fixed epochs: 1.00 ± 0.01, expected 2", "newton: 1.00 (1 to 2)"):
        assert words in drawn.decode()
    assert draw_growth(Saved(tmp_path)).read_bytes() == drawn
    assert "(results/growth.svg)" in text and (tmp_path / "growth.svg").exists()


def test_pages_of_papers_are_listed_with_what_they_confirm(tmp_path):
    assert papers(Saved(tmp_path)) == "No page is kept yet."
    page = tmp_path / "zhang2024" / "small" / "README.md"
    page.parent.mkdir(parents=True)
    drawn = texts(importlib.import_module("benchmarks.papers.zhang2024").PAPER, "small", tmp_path)["README.md"]
    nothing = "Of 0 statements: 0 confirmed, 0 not confirmed, 0 open."
    assert nothing in drawn
    page.write_text(drawn.replace(nothing, "Of 9 statements: 4 confirmed, 3 not confirmed, 2 open."))
    (row,) = papers(Saved(tmp_path)).splitlines()[2:]
    assert row.startswith("| [Towards certified unlearning") and row.endswith(
        "](results/zhang2024/small/README.md) | small | 4 | 3 | 2 |"
    )
    page.write_text("# Towards certified unlearning\n")
    with pytest.raises(LookupError, match="does not count its statements"):
        papers(Saved(tmp_path))
