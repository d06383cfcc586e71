"""The six verbs on a run folder, and everything they refuse: one sentence, exit status 2, nothing written or lost."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from certunl import cli, disk, storage

SMALL = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=4", "hidden=(8,)", "batch_size=32", "radius=20")


def certunl(*words):
    cli.main([str(word) for word in words])


def refused(capsys, *words):
    """The one sentence on stderr of a call that exits with 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        certunl(*words)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("certunl: ") and captured.err.count("\n") == 1
    return captured.err


def listing(folder):
    """Every file with its content's size and time, to see that nothing changed."""
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    certunl("prepare", place)
    certunl("forget", place, "--request", "random:6")
    certunl("forget", place, "--method", "newton", "--request", "random:6", "--set", "operator=ggn", "--trivial")
    certunl("evaluate", place)
    certunl("report", place)
    return place


def test_the_story_leaves_everything_in_the_folder(folder):
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert len(evaluation) == 1 and evaluation[0]["forgotten"] == 6
    rows = evaluation[0]["rows"]
    assert {"original", "retrain", "hessian_free-1", "newton-1", "newton-1 + noise"} == set(rows)
    assert rows["hessian_free-1"]["relative_distance"] < 0.5 < rows["original"]["relative_distance"]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    for text in ("hessian_free-1", "NOT CERTIFIED", "VACUOUS", "relative distance", "wine"):
        assert text in page


def test_secrets_and_releases_lie_apart_with_their_own_permissions(folder):
    for name, mode in (("updates", 0o700), ("prepared", 0o700), ("arrays", 0o700), ("releases", 0o755)):
        assert (folder / name).stat().st_mode & 0o777 == mode
    noised, facts = storage.load_part(folder, "releases", "newton-1")
    plain, _ = storage.load_part(folder, "updates", "newton-1")
    public = {"verdict", "method", "reference", "compared", "sigma", "epsilon", "delta", "failure_probability"}
    assert set(facts) == public
    gap = np.asarray(noised["Dense_0"]["kernel"]) - np.asarray(plain["Dense_0"]["kernel"])
    assert gap.std() == pytest.approx(facts["sigma"], rel=0.3)


def test_a_second_request_goes_on_from_the_first_and_cannot_name_it_again(folder, capsys):
    _, facts = storage.load_part(folder, "updates", "hessian_free-1")
    taken = facts["request"][0]
    before = listing(folder)
    assert "already forgotten" in refused(capsys, "forget", folder, "--request", f"ids:{taken}")
    assert listing(folder) == before
    certunl("forget", folder, "--request", "random:3")
    _, second = storage.load_part(folder, "updates", "hessian_free-2")
    assert not set(second["request"]) & set(facts["request"])
    certunl("forget", folder, "--method", "retrain", "--request", "ids:" + ",".join(map(str, facts["request"])))
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
    assert storage.exists(folder, "releases", "strong-1")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("train", "NEW", "--dataset", "mnits"), "known are breast_cancer"),
        (("train", "NEW", "--model", "transformer"), "known are allcnn, cnn"),
        (("train", "NEW", "--set", "epoch=3"), "no setting 'epoch'"),
        (("train", "NEW", "--set", "epochs"), "name=value"),
        (("train", "NEW", "--set", "epochs=-3"), "positive whole number"),
        (("train", "NEW", "--dataset", "wine", "--set", "classes=2"), "one logit per class"),
        (("train", "NEW", "--dataset", "wine", "--set", "learning_rate=1e30", "epochs=3"), "NaN or infinite"),
        (("train", "NEW", "--dataset", "svhn", "--data-dir", "NEW"), "fetch it once"),
        (("train", "NEW", "--dataset", "wine", "--train-size", "500"), "from 1 to 142"),
        (("train", "RUN"), "not empty"),
        (("train", "RUN/run.json/x"), "cannot be written"),
        (("train", "NEW", "--set", "hidden=3"), "cannot be built"),
        (("train", "NEW", "--set", "radius=abc"), "radius must be a positive number"),
        (("train", "NEW", "--set", "activation=5"), "unknown activation"),
        (("train", "NEW", "--set", "l2=abc"), "l2 must be"),
        (("train", "NEW", "--model", "cnn"), "does not fit"),
        (("train", "NEW", "--seed", str(2**70)), "seed must be"),
        (("prepare", "NEW"), "no run folder"),
        (("prepare", "RUN", "--method", "hessianfree"), "known are certified_removal, descent_to_delete, finetune"),
        (("prepare", "RUN", "--set", "units=(500,)"), "no unit 500"),
        (("forget", "NEW"), "no run folder"),
        (("forget", "RUN", "--request", "ids:142"), "ids 0 to 141"),
        (("forget", "RUN", "--request", "ids:"), "random:SIZE"),
        (("forget", "RUN", "--name", "a/b"), "a name is"),
        (("forget", "RUN", "--name", "../up"), "a name is"),
        (("forget", "RUN", "--name", ""), "a name is"),
        (("forget", "RUN", "--method", "newton", "--set", "solver=5", "--name", "x"), "solver must be"),
        (("forget", "RUN", "--method", "newton", "--set", "assumed.speed=1", "--name", "x"), "no setting 'speed'"),
        (("forget", "RUN", "--request", "random:142", "--name", "x"), "every remaining"),
        (("forget", "RUN", "--request", "everyone"), "random:SIZE"),
        (("forget", "RUN", "--epsilon", "0"), "epsilon must be a positive number"),
        (("forget", "RUN", "--delta", "1.5"), "delta must lie strictly between"),
        (("forget", "RUN", "--method", "newton", "--set", "damping=-1", "--name", "x"), "damping"),
        (("forget", "RUN", "--method", "newton", "--set", "damping=0", "--name", "x"), "not positive definite"),
        (
            ("forget", "RUN", "--method", "newton", "--set", "solver=lissa", "solver.scale=0.01", "--name", "x"),
            "raise scale",
        ),
        (("evaluate", "NEW"), "no run folder"),
        (("report", "NEW"), "no run folder"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence_and_changes_nothing(folder, tmp_path, capsys, words, sentence):
    before, new = listing(folder), tmp_path / "new"
    said = refused(capsys, *(word.replace("NEW", str(new)).replace("RUN", str(folder)) for word in words))
    assert sentence in said
    assert listing(folder) == before and not new.exists()
    assert not [p for p in folder.rglob(".*") if p.name != ".lock" and p.parent == folder]


def test_a_half_written_a_changed_and_a_foreign_folder_are_refused(folder, tmp_path, capsys):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    facts = json.loads((copy / "run.json").read_text())
    facts["settings"]["seed"] = 1
    (copy / "run.json").write_text(json.dumps(facts))
    assert "fingerprint" in refused(capsys, "forget", copy)
    (copy / "run.json").write_text("{")
    assert "half-written" in refused(capsys, "forget", copy)
    for content in ("[]", '{"format": 4}', '{"a": 1}'):
        (copy / "run.json").write_text(content)
        assert "half-written" in refused(capsys, "prepare", copy)
    (copy / "run.json").write_text('{"format": 1}')
    assert "has format 1, this version reads 4" in refused(capsys, "prepare", copy)
    (copy / "run.json").unlink()
    assert "half-written" in refused(capsys, "evaluate", copy)
    (tmp_path / "empty").mkdir()
    assert "half-written" in refused(capsys, "prepare", tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    (copy / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | {"x64": False}))
    assert "JAX_ENABLE_X64=0" in refused(capsys, "prepare", copy)
    other = tmp_path / "other"
    certunl("train", other, *SMALL, "--seed", "1")
    shutil.copytree(folder / "prepared", other / "prepared")
    assert "belongs to another run" in refused(capsys, "forget", other)
    shutil.rmtree(other / "arrays")
    assert "missing or damaged" in refused(capsys, "prepare", other)


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
    import shutil

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
    import shutil

    copy, found = tmp_path / "copy", []
    shutil.copytree(folder, copy)
    for line in ("one", "two"):
        words = ("--request", "ids:3", "--seed", "5", "--name", line, "--epsilon", "50", "--set", "noise=2.0")
        certunl("forget", copy, "--method", method, *words)
        arrays, _ = storage.load_part(copy, "releases", f"{line}-1")
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


def test_rows_of_forgotten_examples_stay_away_from_a_store_that_was_half_filled_or_not_cleared(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    rows = copy / "prepared" / "hessian_free_first_order"
    certunl("prepare", copy)
    shutil.copytree(rows, tmp_path / "uncleared")
    certunl("forget", copy, "--request", "ids:3,4,60", "--name", "first")
    shutil.rmtree(rows)
    shutil.copytree(tmp_path / "uncleared", rows)  # as a kill before the erasing would leave it
    certunl("forget", copy, "--request", "ids:5", "--name", "second")
    held = json.loads((rows / "erased.json").read_text())["erased"]
    assert set(held) >= {3, 4, 5, 60}
    shutil.rmtree(rows)
    certunl("prepare", copy)
    assert set(json.loads((rows / "erased.json").read_text())["erased"]) >= {3, 4, 5, 60}


def test_unknown_verbs_and_options_exit_with_2(capsys):
    for words in (["fortget"], ["train", "x", "--speed", "3"], ["train"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 2


def test_two_at_once_on_one_folder_the_second_is_told_to_wait(folder, capsys):
    with disk.lock(folder):
        assert "another certunl" in refused(capsys, "forget", folder)


def test_a_kill_in_the_middle_of_writing_leaves_the_folder_as_it_was(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = sorted(p.name for p in (copy / "releases").iterdir())
    code = (
        "import sys, time, os\n"
        "from certunl import cli, storage\n"
        "def slow(path, content):\n"
        "    print('writing', flush=True); time.sleep(60)\n"
        "storage.write_json = slow\n"
        "cli.main(sys.argv[1:])\n"
    )
    words = [sys.executable, "-c", code, "forget", str(copy), "--request", "random:2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | {"JAX_ENABLE_X64": "1"}) as process:
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    time.sleep(0.1)
    assert sorted(p.name for p in (copy / "releases").iterdir()) == before
    shutil.copytree(copy / "releases" / before[0], copy / "releases" / f".{before[0]}.99")  # killed before the rename
    certunl("forget", copy, "--request", "random:2")
    assert len(list((copy / "releases").iterdir())) == len(before) + 1


def test_a_line_keeps_its_total_and_retraining_restores_it(folder, tmp_path, capsys):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    words = (
        "forget",
        copy,
        "--method",
        "newton",
        "--name",
        "t",
        "--request",
        "random:3",
        "--trivial",
        "--set",
        "operator=ggn",
    )
    certunl(*words, "--total", "1.2")
    assert "would exceed the total budget of epsilon 1.2" in refused(capsys, *words)
    assert "already" in refused(capsys, *words, "--total", "9")
    certunl("forget", copy, "--method", "retrain", "--name", "t", "--request", "random:3")
    certunl(*words)
    assert "epsilon must be" in refused(capsys, *words, "--total", "0")
