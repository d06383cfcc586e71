"""A head on the features of a public run, by the command line: written down, built again, and what is certified."""

import json
import shutil

import jax
import numpy as np
import pytest

from certunl.features import Features
from certunl.folders import RunFolder, compose
from tests.test_cli import certunl, listing, refused

DIGITS = ("--dataset", "digits")
HEAD = ("--model", "linear", "--set", "bound=1", "weight_decay=1e-2", "radius=22", "epochs=5", "learning_rate=0.5")
DESCENT = ("--method", "descent_to_delete", "--set", "assumed=linear", "steps=500", "--distance", "0.01")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    public, head = (tmp_path_factory.mktemp("runs") / name for name in ("public", "head"))
    network = (
        "--model",
        "mlp",
        "--set",
        "hidden=(24,)",
        "activation=tanh",
        "epochs=20",
        "learning_rate=0.1",
        "dtype=float64",
    )
    certunl("train", public, *DIGITS, "--train-size", "500", *network)
    certunl("train", head, *DIGITS, "--train-from", "500", "--features", public, *HEAD, "dtype=float64")
    return public, head


def test_a_head_on_public_features_forgets_conditionally_and_says_why(folders, capsys):
    _, head = folders
    capsys.readouterr()
    certunl("forget", head, *DESCENT, "--request", "random:9")
    printed = capsys.readouterr().out
    assert printed.startswith("forgot 9 examples") and "CONDITIONAL: descent_to_delete" in printed
    assert (
        "unchecked      the features' extractor (a network trained on 500 examples, none of them identical" in printed
    )
    run, splits = RunFolder(head).run, RunFolder(head).splits
    assert run.problem.data.x.shape == (937, 24) and splits.test.x.shape == (360, 24)
    released, _ = RunFolder(head).releases.published.load("descent_to_delete-1")
    assert float(run.problem.scores(released, splits.test).correct.mean()) > 0.85
    certunl("evaluate", head)
    rows = json.loads((head / "evaluation.json").read_text())[0]["rows"]
    assert rows["retrain"]["test_accuracy"] > 0.85


def test_the_folder_outlives_the_public_run_and_knows_its_extractor(folders, tmp_path, capsys):
    public, head = folders
    run, facts = RunFolder(head).run, RunFolder(head).facts
    copy = tmp_path / "copy"
    shutil.copytree(head, copy)
    public.rename(tmp_path / "gone")
    try:
        again = RunFolder(copy).run
        np.testing.assert_array_equal(again.problem.data.x, run.problem.data.x)
        assert again.problem.unchecked == run.problem.unchecked != ()
    finally:
        (tmp_path / "gone").rename(public)
    kept = facts["settings"]["features"]
    assert kept["run"] == str(public) and kept["model_settings"]["classes"] == 10
    assert kept["fingerprint"] == RunFolder(public).facts["fingerprint"]
    other = tmp_path / "other"
    certunl("train", other, *DIGITS, "--train-size", "500", "--model", "mlp", "--set", "hidden=(24,)", "epochs=1",
            "dtype=float64")  # fmt: skip
    shutil.rmtree(copy / "features")
    assert "missing or damaged" in refused(capsys, "forget", copy)
    certunl("train", tmp_path / "second", *DIGITS, "--train-from", "500", "--features", other, *HEAD)
    shutil.copytree(tmp_path / "second" / "features", copy / "features")
    assert "fingerprint" in refused(capsys, "forget", copy)


def test_features_that_another_machine_rounds_otherwise_belong_to_the_same_folder(folders, monkeypatch):
    exact = Features.features
    monkeypatch.setattr(Features, "features", lambda extractor, x: exact(extractor, x) * (1 + 1e-7))
    assert RunFolder(folders[1]).run


def test_what_the_public_run_left_unchecked_is_written_down_with_its_extractor(folders):
    head = RunFolder(folders[1])
    assert head.facts["settings"]["features"]["origin"] == RunFolder(folders[0]).features()[1]["origin"]
    head.facts["settings"]["features"]["inherited"] = ["standardised"]
    assert head.built.extractor.unchecked[0] == "standardised"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--features", "PUBLIC"), "500 of 1437 examples (first: 0) are among those the extractor was trained on"),
        (("--features", "HEAD"), "was itself trained on features"),
        (("--features", "NEW"), "no run folder"),
        (("--features", "PUBLIC", "--dataset", "wine"), "does not take inputs of shape [13]"),
        (("--train-from", "1437"), "train_from must be below the 1437"),
        (("--train-from", "-1"), "train_from must be a whole number"),
    ],
)
def test_features_that_cannot_be_are_refused(folders, tmp_path, capsys, words, sentence):
    public, head = folders
    before, new = listing(public) | listing(head), tmp_path / "new"
    names = {"PUBLIC": public, "HEAD": head, "NEW": new}
    assert sentence in refused(capsys, "train", new, *(names.get(word, word) for word in words), "--model", "linear")
    assert listing(public) | listing(head) == before and not new.exists()


def test_float64_without_x64_is_refused_and_not_silently_float32(tmp_path, capsys):
    words = ("train", tmp_path / "new", *DIGITS, "--model", "linear", "--set", "epochs=1")
    with jax.enable_x64(False):
        said = refused(capsys, *words, "dtype=float64")
        compose("digits", "linear", ["dtype=float32"], {}, 0)
    assert said.endswith(
        "dtype=float64 needs JAX_ENABLE_X64=1 in the environment: without it JAX computes in float32\n"
    )
    assert "cannot be built" in refused(capsys, *words, "dtype=float65") and not (tmp_path / "new").exists()
    assert compose("digits", "linear", ["dtype=float64"], {}, 0)["model_settings"] == {"dtype": "float64"}
