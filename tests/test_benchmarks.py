"""The question scripts run, agree with their peers and write the agreed line; nothing is said about times."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

torch = pytest.importorskip("torch", reason="the peers need torch: pip install certunl[bench]")

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
PEERS = {"torch double backward", "torch.func vmap(jvp(grad))"}

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated",
    "ignore:finetune moved the parameters by",  # the small settings are tiny
)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch's threads wait for each other by spinning, which takes seconds where something else wants the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(importlib.import_module("harness"), "HERE", tmp_path)
    return importlib.import_module


@pytest.mark.parametrize("question", ["hessian_free", "lissa"])
@pytest.mark.usefixtures("one_thread")
def test_a_question_agrees_with_its_peers_and_writes_one_line_with_the_agreed_fields(
    question: str, questions: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines: list[dict[str, Any]] = questions(question).main(["--small", "--save"])
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == lines
    saved = (tmp_path / "results" / f"{question}.jsonl").read_text().splitlines()
    assert [json.loads(text) for text in saved] == lines
    for line in lines:
        assert set(line) == {"question", "settings", "commit", "date", "versions", "device", "ours", "peers"}
        assert line["question"] == question
        assert {"data", "seed", "runs", "flops", "relative_difference", *PEERS} <= set(line["settings"])
        assert set(line["versions"]) == {"python", "certunl", "jax", "jaxlib", "numpy", "torch"}
        assert {"kind", "backend", "cpu_count", "torch_threads"} <= set(line["device"])
        assert set(line["peers"]) - {"one device", "its two matrix products alone"} == PEERS
        for result in (line["ours"], *line["peers"].values()):
            assert len(result["seconds"]) == line["settings"]["runs"]
            assert result["min"] <= result["median"] <= result["max"]
        assert line["ours"]["compile_seconds"] > 0
        counted = {"gflops", "matmul_gflops", "matmul_fraction"} <= set(line["ours"])
        assert counted == (line["settings"]["flops"] is not None)
        assert all("ratio" in result for result in line["peers"].values())


@pytest.mark.usefixtures("one_thread")
def test_products_tells_ratios_memory_and_the_recursion_on_a_convolutional_network(questions: Any) -> None:
    *ratios, memory, recursion = questions("products").main(["--small"])
    assert [line["settings"]["model"] for line in ratios] == ["mlp", "cnn"]
    assert all(line["peers"]["gradients"]["ratio"] > 0 for line in ratios)
    assert memory["settings"]["product_bytes"] > 0 and memory["settings"]["chain_bytes"] > 0
    assert recursion["peers"]["torch double backward"]["ratio"] > 0


def test_rows_are_told_in_memory_and_on_disk_and_so_are_deletions(questions: Any) -> None:
    growth, disk, deletion = questions("store").main(["--small"])
    assert len(growth["milliseconds_per_unit"]) == len(growth["settings"]["units"]) == 2
    assert disk["units"] == 24 and disk["gigabytes"] > 0
    assert set(deletion["milliseconds"]) == {f"{way}, {n} units" for way in ("memory", "disk") for n in (8, 12)}


def test_the_recursive_bound_holds_and_the_precision_in_force_is_left(questions: Any) -> None:
    config: Any = jax.config
    before = config.jax_enable_x64
    lines = questions("recursive_bound").main(["--small"])
    assert config.jax_enable_x64 == before
    assert [line["settings"]["forgotten"] for line in lines] == [1, 5]
    for line in lines:
        for name in ("doing nothing", "first_order", "retained"):
            assert 0 < line["rows"][name]["max"] <= line["rows"][f"{name}, bound"]["max"]


def test_frozen_features_tell_accuracy_and_verdict_and_only_drawn_ones_are_proved(questions: Any) -> None:
    learnt, drawn = questions("frozen_features").main(["--small"])
    for line in (learnt, drawn):
        assert {"original", "retrain", "certified_removal", "certified_removal + noise"} == set(line["rows"])
        assert line["rows"]["certified_removal + noise"]["test_accuracy"]["mean"] > 0.9
        assert line["certificate"]["bound"] < 1.1e-3 and line["certificate"]["sigma"] < 0.004
    assert (learnt["certificate"]["verdict"], drawn["certificate"]["verdict"]) == ("CONDITIONAL", "PROVED")
    assert learnt["network_test_accuracy"] is not None and drawn["network_test_accuracy"] is None


def test_deep_networks_tell_accuracy_epsilon_work_and_a_proved_verdict(questions: Any) -> None:
    shards, slices, noise, secret, head = questions("deep_certificates").main(["--small"])
    for line in (shards, slices, noise, secret, head):
        assert 0 < line["accuracy"]["mean"] <= 1
        assert {facts["verdict"] for facts in line["requests"].values()} == {"PROVED"}
    assert shards["requests"]["1"]["expected_share"] == pytest.approx(0.5) and shards["requests"]["10"]["share"] == 1
    assert slices["requests"]["1"]["expected_share"] == pytest.approx(7 / 9, abs=0.03)
    assert 0 < slices["requests"]["1"]["share"] <= 1 and secret["worst_epsilon"] < noise["worst_epsilon"]
    for line in (noise, secret):
        assert line["requests"]["1"]["epsilon"] < line["requests"]["10"]["epsilon"]
    assert 0 <= noise["requests"]["10"]["share_for_1"] <= 1 and noise["worst_epsilon"] > 0
    assert head["requests"]["1"]["epsilon"] < head["requests"]["10"]["epsilon"] and head["requests"]["1"]["sigma"] > 0


def test_audits_of_a_price_tell_claim_and_verdict_for_the_right_noise_and_half_of_it(questions: Any) -> None:
    lines = questions("price_audits").main(["--small"])
    assert [line["seen"] for line in lines] == ["the release", "all states", "the release"]
    for line in lines:
        assert line["right"]["claimed"] == line["half"]["claimed"] > 0 and not line["right"]["refuted"]
    assert "40 canaries" in lines[2]["half"]["how"]


def test_certified_methods_tell_verdict_accuracy_and_what_was_refused(questions: Any) -> None:
    (line,) = questions("certified").main(["--small"])
    assert line["verdicts"]["certified_removal"] == line["verdicts"]["newton"] == "PROVED"
    assert line["verdicts"]["noisy_finetuning"] == line["verdicts"]["model_clipping"] == "PROVED"
    assert line["verdicts"]["output perturbation"] == "VACUOUS"
    assert all(row["epsilon"] <= 1 + 1e-9 for row in line["rows"].values())
    assert set(line["refused"]) <= set(line["settings"]["methods"])


@pytest.mark.usefixtures("one_thread")
def test_shadow_models_agree_with_torch_and_are_timed_beside_it(questions: Any) -> None:
    (line,) = questions("shadows").main(["--small"])
    assert line["settings"]["relative_difference"] < 1e-4
    assert set(line["peers"]) == {"torch", "ours, one after another"}
    assert 0 < line["settings"]["accuracy"] <= 1 and line["ours"]["matmul_fraction"] > 0
