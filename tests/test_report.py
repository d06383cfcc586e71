"""The report on Reports made up for it: what stands on the page, and what is left out."""

import dataclasses
import re

import numpy as np
import pytest

from certunl.audits.audit import Audit
from certunl.evaluation import Report
from certunl.membership.roc import Attacked
from certunl.report import draw, markdown, page, write
from tests import reports

CERTIFICATE = "PROVED: newton, every assumption is proved by the code"


@pytest.fixture(scope="module")
def full():
    report = reports.report(attacks=("loss_threshold", "lira"))
    return dataclasses.replace(report, certificates={"newton-1": CERTIFICATE})


@pytest.fixture(scope="module")
def drawn(full):
    return [draw(full)]


@pytest.fixture(scope="module")
def text(full, drawn):
    return page("mnist", {"seed": 0, "recipe": {"epochs": 20}}, [full], figures=drawn)


@pytest.fixture(scope="module")
def marked(full, drawn):
    return markdown("mnist", {"seed": 0, "recipe": {"epochs": 20}}, [full], figures=drawn)


def tables(text):
    """Each table as lists of words."""
    found = []
    for table in re.findall("<table.*?</table>", text, re.S):
        lines = re.findall("<tr.*?</tr>", table, re.S)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.S) for line in lines]
        found.append([[re.sub("<br><small>(.*?)</small>", r" \1", cell) for cell in line] for line in cells])
    return found


def small(**changes):
    rows = {"original": {"relative_distance": 1.0}, "retrain": {"relative_distance": 0.0}}
    return Report(**{"rows": rows, "forgotten": 3, "verdicts": {}} | changes)


def test_the_main_table_has_a_line_for_each_model_and_no_class_of_its_own(full, text):
    main = tables(text)[0]
    assert [line[0] for line in main[1:]] == list(full.rows)
    assert not any("class" in name for name in main[0]) and "solver residual" not in main[0]
    assert main[2][main[0].index("distance")] == "0" and main[1][main[0].index("seconds")] == "-"


@pytest.mark.parametrize(("models", "said"), [(10, " (few: 10 models)"), (99, " (few: 99 models)"), (100, ""), (0, "")])
def test_divergences_over_fewer_than_a_hundred_models_are_called_few(models, said):
    rows = {name: {"klom_forget": 1.5, "distance": 2.0} for name in ("original", "retrain", "a", "b", "c", "d", "e")}
    report = small(rows=rows, models=models)
    assert tables(page("x", {}, [report]))[0][0][2:] == [f"klom forget{said}", "distance"]
    assert f"klom forget{said}  " in str(report) and ("few" in str(report)) == bool(said)


def test_a_refuted_claim_is_red_beside_its_bound(text, marked):
    assert '<td class="bad words">PROVED: REFUTED</td>' in text
    assert text.count("<p class=alarm>REFUTED: rewind_to_delete claims epsilon 1 at delta 1e-05") == 1
    audits = tables(text)[1]
    line = next(line for line in audits if line[0] == "rewind_to_delete")
    assert line[1:6] == ["REFUTED", "ε = 1 at δ = 1e-05", "ε ≥ 2.314", "99%", "PROVED"]
    assert "**PROVED: REFUTED**" in marked and "> **Alarm.** REFUTED: rewind\\_to\\_delete" in marked
    held = small(verdicts={"original": "PROVED"}, audits={"original": audit(0.9)})
    assert "REFUTED" not in page("x", {}, [held])


def audit(lower):
    return Audit(lower=lower, epsilon=1.0, delta=1e-5, confidence=0.99, how="two samples")


def test_attacks_stand_beside_the_retrained_model_s(full, text):
    areas, power = tables(text)[2:4]
    assert areas[0] == ["model", "loss threshold", "lira"] and [line[0] for line in areas[1:3]] == [
        "original",
        "retrain",
    ]
    original, truth = full.attacks["original"]["lira"], full.attacks["retrain"]["lira"]
    assert original.low > truth.high
    assert areas[1][2] == f"▲ {original.auc:.3f} [{original.low:.3f}, {original.high:.3f}]"
    assert areas[2][2] == f"{truth.auc:.3f} [{truth.low:.3f}, {truth.high:.3f}]"
    assert power[0] == ["model", *(f"{a} at {r}" for a in ("loss threshold", "lira") for r in ("0.1%", "1%"))]
    low, high = original.interval_at_1
    assert low < original.tpr_at_1 < high
    assert power[1][4] == f"{100 * original.tpr_at_1:.3g}% [{100 * low:.3g}, {100 * high:.3g}]"
    assert power[1][3].startswith(f"{100 * original.tpr_at_0_1:.3g}% [")


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(0.56, 0.7, "▲ "), (0.54, 0.7, ""), (0.3, 0.46, ""), (0.3, 0.44, "▼ ")]
)
def test_only_an_interval_apart_from_the_retrained_model_s_is_marked(low, high, sign):
    rest = {"tpr_at_0_1": np.nan, "tpr_at_1": 0.02, "members": 9, "others": 9, "fpr": (0.0, 1.0), "tpr": (0.0, 1.0)}
    found = {
        "retrain": Attacked(auc=0.5, low=0.45, high=0.55, **rest),
        "x": Attacked(auc=0.5, low=low, high=high, **rest),
    }
    areas, power = tables(page("x", {}, [small(attacks={n: {"a": one} for n, one in found.items()})]))[1:]
    assert areas[1:] == [["retrain", "0.500 [0.450, 0.550]"], ["x", f"{sign}0.500 [{low:.3f}, {high:.3f}]"]]
    assert power == [["model", "a at 1%"], ["retrain", "2%"], ["x", "2%"]]  # nothing is told at 0.1%


def test_a_control_away_from_chance_is_said_aloud(full, text, marked):
    assert not full.controls["lira"].at_chance and full.controls["loss_threshold"].at_chance
    assert text.count("<p class=alarm>NOT AT CHANCE: with members and others shuffled, lira") == 1
    assert tables(text)[2][-1] == ["control: at chance?", "yes", "NO"]
    assert "> **Alarm.** NOT AT CHANCE" in marked


def test_every_figure_is_in_the_page_and_beside_the_markdown(drawn, text, marked):
    names = [picture.name for picture in drawn[0]]
    kinds = ["distance", "accuracy", "time", "tradeoff", "classes-forget", "classes-test"]
    kinds += [f"{kind}-{attack}" for attack in ("loss_threshold", "lira") for kind in ("roc", "auc")]
    assert names == [f"{place:02d}-{kind}.png" for place, kind in enumerate(kinds, 1)]
    assert re.findall(r"\]\(report/(.*?)\)", marked) == names
    assert len(re.findall(r'<img alt="[^"]{20,}" src="data:image/png;base64,', text)) == len(names)
    assert all(picture.png.startswith(b"\x89PNG") for picture in drawn[0])
    assert "http" not in re.sub('base64,[^"]+', "", text) and "<script" not in text


def test_markdown_says_what_the_page_says(text, marked):
    cells = [line.strip("| ").split(" | ") for line in marked.splitlines() if line.startswith("|")]
    told = [[re.sub(r"\\(.)", r"\1", cell).strip("*") for cell in line] for line in cells if set(line[0]) != set(":-")]
    shown = [line for table in tables(text) for line in table]
    assert [line for line in told if any(line)] == shown
    assert f"<pre>newton-1\n{CERTIFICATE}</pre>" in text and f"```text\nnewton-1\n{CERTIFICATE}\n```" in marked
    for words in ("recipe: epochs", "jackknife", "3.8 GB"):
        assert words in text and words in marked


def test_a_few_models_stand_beside_one_another_and_what_forgetting_took_comes_last():
    rows = {"original": {"seconds": np.nan, "test_loss": 1.0}, "retrain": {"seconds": 2.0, "test_loss": 3.0}}
    held = small(rows=rows, verdicts={"retrain": "PROVED"}, audits={"retrain": audit(1.5)})
    text = page("x", {}, [held])
    lines = [["model", "original", "retrain"], ["verdict", "-", "PROVED: REFUTED"], ["test loss", "1", "3"]]
    assert tables(text)[0] == [*lines, ["seconds", "-", "2"]]
    assert '<td class="bad">PROVED: REFUTED</td>' in text


def test_what_is_missing_leaves_its_figure_out():
    bare = small()
    assert [picture.name for picture in draw(bare)] == ["01-distance.png"]
    text = page("x", {}, [bare])
    assert not any(words in text for words in ("Attacks", "Audits", "Left out", "Certificates", "<nav"))
    nothing = small(rows={"original": {"distance": 0.0}, "retrain": {"distance": 0.0, "seconds": np.nan}})
    assert draw(nothing) == [] and "<img" not in page("x", {}, [nothing])


def test_names_and_numbers_of_every_kind_are_shown_as_they_are():
    names = ["<b>&\"'", "_hidden", "a $x^2$ of $y$", "モデル|`é`", "long" * 30]
    values = [np.nan, np.inf, 0.0, 1e-300, 2.0]
    rows = {name: {"relative_distance": v, "test_accuracy": 0.5} for name, v in zip(names, values, strict=True)}
    odd = small(
        rows=small().rows | rows, request="<i>", left_out={"<s>": "<u>"}, verdicts=dict.fromkeys(names, "PROVED")
    )
    found = {name: reports.report(attacks=("a/b",)).attacks["original"] for name in names}
    odd = small(
        **vars(odd)
        | {
            "certificates": {"<pre>```": "<pre>"},
            "attacks": found,
            "tradeoffs": {n: {0.0: 0.9, 1.0: 0.5} for n in names},
        }
    )
    text, marked = (
        page("<h>", {"<f>": "<g>"}, [odd], ["<w>"]),
        markdown("<h>", {}, [odd], ["<w>"]),
    )
    for words in ("<b>", "<i>", "<s>", "<u>", "<h>", "<f>", "<g>", "<w>", "<pre>`"):
        assert words not in text
    assert [line[0] for line in tables(text)[0][3:]] == ["&lt;b&gt;&amp;&quot;&#x27;", *names[1:]]
    assert [line[2] for line in tables(text)[0][3:]] == ["-", "∞", "0", "1e-300", "2"]
    assert "モデル\\|\\`é\\`" in marked and "````text\n<pre>```\n<pre>\n````" in marked
    assert [picture.name for picture in draw(odd)][-1].endswith("auc-a-b.png")


def test_a_folder_keeps_the_figures_of_its_last_report_alone(tmp_path):
    write(tmp_path, "x", {}, [small(), small()])
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["1-01-distance.png", "2-01-distance.png"]
    assert (tmp_path / "report.html").read_text().count("<nav>") == 0
    write(tmp_path, "x", {"seed": 1}, [small()])
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["01-distance.png"]
    assert "](report/01-distance.png)" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.md").stat().st_mode & 0o077 == 0
