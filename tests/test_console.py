"""What the command line shows of a Report: everything that matters, in the width of a terminal."""

import re

import pytest

from certunl.evaluation import join
from certunl.report.console import show
from tests import reports
from tests.test_report import small


@pytest.fixture
def shown(monkeypatch, capsys):
    def call(report, width=100):
        monkeypatch.setenv("COLUMNS", str(width))
        show(report)
        return capsys.readouterr().out

    return call


def test_twenty_methods_and_six_attacks_fit_a_hundred_columns_and_lose_no_digit(shown):
    report = reports.report()
    text = shown(report)
    assert max(map(len, text.splitlines())) <= 100
    for row in report.rows.values():
        assert f"{row['distance']:.4g} " in text and f"{row['agreement']:.4g}" in text
    for held in report.attacks.values():
        for found in held.values():
            assert f"{found.auc:.3f} [{found.low:.3f}, {found.high:.3f}]" in text
    assert all(f"\n {name} " in text for name in report.rows) and "left out: jackknife" in text


def test_what_was_refuted_and_what_is_not_at_chance_is_said(shown):
    text = shown(reports.report())
    assert "REFUTED: rewind_to_delete claims epsilon 1" in text and "NOT AT CHANCE: with members" in text
    assert re.search(r"rewind_to_delete +REFUTED +ε = 1 at δ = 1e-05 +ε ≥ 2.314 +99%", text)
    assert re.search(r"control: at chance\? +yes +yes +NO", shown(reports.report(), 200))


def test_means_over_seeds_are_shown_with_their_deviations(shown):
    one, other = (small(rows={"original": {"test_loss": loss}}) for loss in (1.0, 2.0))
    text = shown(join([one, other]), 60)
    assert re.search(r"test loss +1.5 ± 0.71", text) and "deviation of 2 seeds" in text
    counted = shown(small(rows={"original": {"test_accuracy": 0.5}}, examples={"test": 100}), 60)
    assert re.search(r"test accuracy +0.5 *\n", counted) and "in brackets" not in counted


def test_few_models_stand_beside_one_another_and_what_is_not_there_is_not_shown(shown):
    text = shown(small(rows={"original": {"test_loss": 1.25}, "[bold]x[/bold]": {"test_loss": 2.5}}), 60)
    assert re.search(r"model +original +\[bold\]x\[/bold\]", text) and re.search(r"test loss +1.25 +2.5 *\n", text)
    assert "AUC" not in text and "audit" not in text and "3 examples forgotten" in text
