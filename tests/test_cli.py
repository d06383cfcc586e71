"""The six verbs on a run folder."""

import base64
import json
import shutil
from importlib.metadata import version

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder, build
from certunl.rows.erasing import kept
from tests.verbs import SMALL, certunl, forgotten_by, listing, refused


def test_the_story_leaves_everything_in_the_folder(folder):
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert len(evaluation) == 1 and evaluation[0]["forgotten"] == 6
    rows = evaluation[0]["rows"]
    assert {"original", "retrain", "hessian_free-1", "newton-1", "newton-1 + noise"} == set(rows)
    assert rows["hessian_free-1"]["relative_distance"] < 0.5 < rows["original"]["relative_distance"]
    page = (folder / "report.html").read_text()
    figures = [path.read_bytes() for path in sorted((folder / "report").glob("*.png"))]
    assert page.count("data:image/png;base64,") == len(figures) == 6  # of every class too
    assert all(base64.b64encode(figure).decode() in page for figure in figures)
    for text in ("hessian_free-1", "NOT CERTIFIED", "VACUOUS", "relative distance", "wine"):
        assert text in page


def test_the_version_is_the_one_of_the_package(capsys):
    certunl("--version")
    assert capsys.readouterr().out == f"certunl {cu.__version__}\n" and version("certunl") == cu.__version__


def test_secrets_and_releases_lie_apart_with_their_own_permissions(folder):
    for name, mode in (("updates", 0o700), ("prepared", 0o700), ("arrays", 0o700), ("releases", 0o755)):
        assert (folder / name).stat().st_mode & 0o777 == mode
    noised, facts = RunFolder(folder).releases.published.load("newton-1")
    plain, _ = RunFolder(folder).releases.updates.load("newton-1")
    public = {"verdict", "method", "reference", "compared", "sigma", "epsilon", "mu", "delta"}
    public |= {"failure_probability"}
    assert set(facts) == public | {"schema", "entry", "head", "part", "arrays", "digest"}
    gap = np.asarray(noised["Dense_0"]["kernel"]) - np.asarray(plain["Dense_0"]["kernel"])
    assert gap.std() == pytest.approx(facts["sigma"], rel=0.3)


def test_a_second_request_goes_on_from_the_first_and_cannot_name_it_again(folder, capsys):
    first = forgotten_by(folder, "hessian_free-1")
    taken = first[0]
    before = listing(folder)
    assert "already forgotten" in refused(capsys, "forget", folder, "--request", f"ids:{taken}")
    assert listing(folder) == before
    certunl("forget", folder, "--request", "random:3")
    assert not {*forgotten_by(folder, "hessian_free-2")} & {*first}
    certunl("forget", folder, "--method", "retrain", "--request", "ids:" + ",".join(map(str, first)))
    certunl("evaluate", folder)
    reports = json.loads((folder / "evaluation.json").read_text())
    assert sorted(report["forgotten"] for report in reports) == [6, 9]


def test_the_papers_theorem_is_reachable_and_its_verdict_is_vacuous(folder, capsys):
    names = ("smoothness", "hessian_lipschitz", "smallest_eigenvalue", "gradient_residual")
    given = [f"assumed.{name}={value}" for name, value in zip(names, (1, 1, 0, 0), strict=True)]
    settings = ("damping=5", *given, "assumed.failure_probability=1e-6")
    certunl("forget", folder, "--method", "newton", "--name", "paper", "--set", *settings, "--request", "random:4")
    printed = capsys.readouterr().out
    assert "VACUOUS: newton" in printed and "lambda_min" in printed and "given" in printed and "residual" in printed


def test_another_setting_needs_another_name(folder, capsys):
    words = ("forget", folder, "--method", "newton", "--request", "random:2", "--set", "operator=ggn", "damping=2.0")
    assert "--name" in refused(capsys, *words)
    certunl(*words, "--name", "strong")
    assert "strong-1" in RunFolder(folder).releases.published


def test_preparing_again_computes_what_is_missing_and_leaves_the_rest(folder):
    rows = folder / "prepared" / "hessian_free_first_order"
    certunl("prepare", folder)
    before = listing(folder / "prepared")
    certunl("prepare", folder)
    assert listing(folder / "prepared") == before
    lost = next(rows.glob("c/*/0"))
    content = lost.read_bytes()
    lost.unlink()
    certunl("prepare", folder)
    assert len(lost.read_bytes()) == len(content)
    assert [p.name for p in (folder / "prepared").iterdir()] == ["hessian_free_first_order"]


def test_forgetting_erases_the_rows_of_the_request_for_every_line(folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    certunl("prepare", copy)
    capsys.readouterr()
    certunl("forget", copy, "--request", "ids:3,4", "--name", "first")
    assert "nothing prepared" not in capsys.readouterr().out
    certunl("forget", copy, "--request", "ids:3,4", "--name", "second")
    assert "nothing prepared" in capsys.readouterr().out
    certunl("prepare", copy)
    certunl("forget", copy, "--request", "ids:4", "--name", "third")
    assert "nothing prepared" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["noisy_finetuning", "model_clipping", "noisy_sgd"])
def test_a_method_s_own_noise_does_not_come_from_the_seed(folder, tmp_path, method):
    copy, found = tmp_path / "copy", []
    shutil.copytree(folder, copy)
    for line in ("one", "two"):
        words = ("--request", "ids:3", "--seed", "5", "--name", line, "--epsilon", "50", "--set", "noise=2.0")
        certunl("forget", copy, "--method", method, *words)
        arrays, _ = RunFolder(copy).releases.published.load(f"{line}-1")
        found.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(arrays)]))
    assert not np.isclose(*found).any()


def test_noisy_methods_are_proved_from_the_command_line_and_read_back(tmp_path, capsys):
    place = tmp_path / "run"
    settings = ("epochs=2", "batch_size=32", "learning_rate=0.5", "weight_decay=0.3", "radius=1.0", "bound=1.0")
    certunl("train", place, "--dataset", "wine", "--model", "linear", "--set", *settings)
    for method, chosen in (("noisy_sgd", ("noise=1.5", "assumed=linear")), ("model_clipping", ("noise=1.5",))):
        certunl("forget", place, "--method", method, "--request", "random:3", "--set", *chosen)
        printed = capsys.readouterr().out
        assert f"PROVED: {method}" in printed
    certunl("evaluate", place)
    rows = json.loads((place / "evaluation.json").read_text())[0]["rows"]
    assert {"noisy_sgd-1", "model_clipping-1"} <= set(rows) and "bound_to_its_reference" not in rows["noisy_sgd-1"]


def test_labels_replaced_in_training_come_back_and_can_be_asked_for(tmp_path, capsys):
    place, plain = tmp_path / "run", tmp_path / "plain"
    certunl("train", place, *SMALL, "--mislabel", "0.1")
    certunl("train", plain, *SMALL)
    opened, settings = RunFolder(place), RunFolder(place).facts["settings"]
    run, clean = opened.run, RunFolder(plain).run
    assert settings["mislabel"] == 0.1 and "mislabel" not in RunFolder(plain).facts["settings"]
    wrong = np.flatnonzero(np.asarray(run.problem.data.y) != np.asarray(clean.problem.data.y))
    assert len(wrong) == 14 and opened.built.mislabelled.tolist() == wrong.tolist()
    assert build(settings | {"seed": 1}).mislabelled.tolist() != wrong.tolist()
    np.testing.assert_array_equal(jax.tree.leaves(run.start)[0], jax.tree.leaves(clean.start)[0])
    certunl("forget", place, "--method", "finetune", "--request", "mislabelled:4")
    certunl("forget", place, "--method", "finetune", "--request", "mislabelled")
    first, second = (forgotten_by(place, f"finetune-{k}") for k in (1, 2))
    assert len(first) == 4 and sorted(first + second) == wrong.tolist()
    certunl("evaluate", place)


def test_rows_of_forgotten_examples_stay_away_from_a_store_that_was_half_filled_or_not_cleared(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    rows = copy / "prepared" / "hessian_free_first_order"
    certunl("prepare", copy)
    shutil.copytree(rows, tmp_path / "uncleared")
    certunl("forget", copy, "--request", "ids:3,4,60", "--name", "first")
    shutil.rmtree(rows)
    shutil.copytree(tmp_path / "uncleared", rows)  # as a kill before the erasing would leave it
    certunl("forget", copy, "--request", "ids:5", "--name", "second")
    assert not len(kept(rows, np.array([3, 4, 5, 60])))
    shutil.rmtree(rows)
    certunl("prepare", copy)
    assert not len(kept(rows, np.array([3, 4, 5, 60])))
