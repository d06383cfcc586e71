"""The kinds, flops and own times of benchmarks/breakdown.py. Nothing is said about times."""

import importlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def breakdown(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("breakdown")


def test_a_line_tells_all_kinds_and_counts_the_products(breakdown: Any) -> None:
    lines = breakdown.main(["--small"])
    assert [line["settings"]["work"] for line in lines] == list(breakdown.SMALL)
    for line in lines:
        assert tuple(line["kinds"]) == breakdown.KINDS
        assert line["kinds"]["products"]["flops"] > 0
        assert sum(kind["seconds"] for kind in line["kinds"].values()) > 0


def test_flops_and_bytes_are_those_of_the_program(breakdown: Any) -> None:
    a, b = jnp.ones((3, 50, 70), jnp.float32), jnp.ones((3, 70, 110), jnp.float32)
    text = jax.jit(lambda a, b: jnp.einsum("kij,kjl->kil", a, b)).lower(a, b).compile().as_text()
    products = [one for one in breakdown.operations(text).values() if one.kind == "products"]
    assert 2 * 3 * 50 * 70 * 110 in [one.flops for one in products]
    assert 4 * (3 * 50 * 70 + 3 * 70 * 110 + 3 * 50 * 110) in [one.size for one in products]
    text = jax.jit(lambda a, places: jnp.sin(a).T[places]).lower(a[0], jnp.arange(2)).compile().as_text()
    assert "gathers" in {one.kind for one in breakdown.operations(text).values()}


def test_own_time_leaves_out_the_operations_inside(breakdown: Any) -> None:
    events = [(0.0, 10.0, "while"), (1.0, 4.0, "call"), (2.0, 1.0, "dot"), (6.0, 2.0, "dot"), (20.0, 5.0, "copy")]
    expected = [("while", 4.0), ("call", 3.0), ("dot", 1.0), ("dot", 2.0), ("copy", 5.0)]
    assert breakdown.own_time(events) == expected
