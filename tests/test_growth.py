"""The sizes, fits and lines of benchmarks/growth.py. Nothing is said about times."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    monkeypatch.setattr(importlib.import_module("harness"), "HERE", tmp_path)
    return importlib.import_module("growth")


def test_growth_varies_one_size_at_a_time_and_tells_the_exponent(growth: Any) -> None:
    lines = growth.main(["--small"])
    settings = {(line["settings"]["work"], line["settings"]["varied"]): line["settings"] for line in lines}
    assert len(settings) == len(lines) == 13
    values = {"n": [16, 32], "n, fixed epochs": [16, 32], "d": [1600, 3190], "T": [4, 8], "devices": [1, 2]}
    assert all(facts["values"] == values[varied] for (_, varied), facts in settings.items())
    for line in lines:
        assert line["exponent"] == pytest.approx(math.log2(line["medians"][1] / line["medians"][0]), rel=0.02)
        assert line["standard_error"] is None and min(line["medians"]) > 0


def test_a_scan_keeps_the_steps_while_the_examples_grow_unless_the_epochs_are_fixed(growth: Any) -> None:
    factors = growth.FULL["factors"]
    for work in ("rows", "newton", "retraining"):
        base = growth.FULL[work]
        epochs = [[p["epochs"] for p in growth.points(base, v, factors)] for v in ("n", "n, fixed epochs", "T")]
        scale = base["epochs"]
        assert epochs == [[scale / f for f in factors], [scale / factors[-1]] * 5, [scale * f for f in factors]]
        assert all(point["examples"] % base["batch_size"] == 0 for point in growth.points(base, "n", factors))


def test_the_exponent_of_a_power_is_exact_and_its_error_is_that_of_the_slope(growth: Any) -> None:
    power, sizes = growth.power, np.array([100, 200, 400, 800, 1600])
    assert power(sizes, 3e-4 * sizes**1.5) == pytest.approx((1.5, 0), abs=1e-6)
    assert power([1, 2], [4.0, 1.0]) == (pytest.approx(-2), None)
    noise = np.array([0.1, -0.1, 0.0, -0.1, 0.1])  # neither a slope nor a mean
    slope, error = power(sizes, sizes**2.0 * np.exp(noise))
    deviations = np.log(sizes) - np.log(sizes).mean()
    assert slope == pytest.approx(2)
    assert error == pytest.approx(math.sqrt((noise**2).sum() / 3 / (deviations**2).sum()))


def test_the_exponent_of_devices_leaves_out_those_without_a_core_of_their_own(growth: Any) -> None:
    line = growth.line("rows", "devices", [1, 2, 4, 8], [[4.0], [2.0], [2.0], [3.0]], [], 2)
    assert line["settings"]["fitted"] == [1, 2] and line["exponent"] == pytest.approx(-1)
