"""A run folder has one account for all its lines, whatever becomes of their releases."""

import re
import shutil

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import Order, RunFolder, drawn_id
from certunl.rows.erasing import kept
from tests.verbs import certunl, refused


def test_a_release_that_was_moved_away_stays_forgotten_erased_and_spent(folder, tmp_path, capsys):
    copy = without_releases(folder, tmp_path)
    words = ("forget", copy, "--method", "newton", "--trivial", "--total", "1.9", "--name", "t")
    words = (*words, "--set", "operator=ggn", "--request", "ids:7")
    certunl(*words)
    certunl("forget", copy, "--trivial", "--request", "ids:8", "--name", "moved")
    certunl("forget", copy, "--trivial", "--request", "ids:9", "--name", "moved")
    for name in ("t-1", "moved-1"):
        shutil.move(copy / "releases" / name, tmp_path)
    assert {8, 9} <= set(RunFolder(copy).ledger.forgotten().tolist())
    shutil.rmtree(copy / "prepared")
    certunl("prepare", copy)
    assert not len(kept(copy / "prepared" / "hessian_free_first_order", np.array([8, 9])))
    left = RunFolder(copy).releases.load()
    assert left["moved-2"][0].tolist() == [8, 9] and not {"t-1", "moved-1"} & set(left)
    assert "already forgotten" in refused(capsys, *words)
    assert "would exceed the total budget of epsilon 1.9" in refused(capsys, *words[:-1], "ids:10")


def without_releases(folder, tmp_path):
    """A copy of the run folder with its rows and none of its releases."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for part in ("updates", "releases"):
        shutil.rmtree(copy / part)
    (copy / "ledger.sqlite").unlink()
    RunFolder(copy).ledger.create()
    return copy


def test_one_request_under_three_names_is_counted_three_times(folder, tmp_path, capsys):
    copy = without_releases(folder, tmp_path)
    words = ("forget", copy, "--method", "newton", "--request", "ids:7", "--trivial", "--set", "operator=ggn")
    epsilons = []
    for name in ("one", "two", "three"):
        certunl(*words, "--name", name)
        epsilons.append(float(re.search(r"composed epsilon ([\d.]+)", capsys.readouterr().out)[1]))
    assert epsilons == sorted(epsilons) and epsilons[0] == 1.0 and 1.8 < epsilons[2] < 1.9
    assert "release 3" in RunFolder(copy).releases.certificates()["three-1"]
    exceeded = refused(capsys, *words, "--name", "four", "--total", "1.9")
    assert "would exceed the total budget of epsilon 1.9" in exceeded and "restores nothing" in exceeded
    certunl("forget", copy, "--method", "retrain", "--name", "one", "--request", "ids:8")
    assert "what the other lines spent stays spent" in capsys.readouterr().out
    assert "would exceed" in refused(capsys, *words, "--name", "four", "--total", "1.9")


def test_an_unnoised_release_under_another_name_leaves_no_budget(folder, tmp_path, capsys):
    copy = without_releases(folder, tmp_path)
    certunl("forget", copy, "--request", "ids:8", "--name", "bare")
    words = ("forget", copy, "--method", "newton", "--request", "ids:7", "--trivial", "--set", "operator=ggn")
    assert "inf is spent already" in refused(capsys, *words, "--total", "5")


def test_a_line_keeps_its_total_and_retraining_restores_it(folder, tmp_path, capsys):
    copy = without_releases(folder, tmp_path)
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


def test_an_update_that_is_gone_stays_spent_and_its_name_is_not_given_again(folder, tmp_path, capsys):
    copy = without_releases(folder, tmp_path)
    words = ("forget", copy, "--method", "newton", "--trivial", "--set", "operator=ggn")
    for name, ids in (("a", "ids:5"), ("a", "ids:6"), ("b", "ids:7")):
        certunl(*words, "--name", name, "--request", ids)
    shutil.rmtree(copy / "updates" / "b-1")
    assert "updates/b-1 is gone, so the state of its line" in refused(
        capsys, *words, "--name", "b", "--request", "ids:8"
    )
    certunl(*words, "--name", "c", "--request", "ids:8")
    assert "release 4 " in capsys.readouterr().out
    shutil.rmtree(copy / "updates" / "a-1")
    certunl(*words, "--name", "a", "--request", "ids:9")  # its line goes on from a-2
    assert "release 5 " in capsys.readouterr().out and (copy / "releases" / "a-3").exists()
    shutil.rmtree(copy / "updates")
    certunl(*words, "--name", "d", "--request", "ids:9")
    assert "release 6 " in capsys.readouterr().out
    (copy / "ledger.sqlite").unlink()
    assert "nobody knows what was asked and spent" in refused(capsys, *words, "--name", "e", "--request", "ids:9")


def test_a_release_that_does_not_count_the_earlier_ones_is_not_written(folder, tmp_path):
    place = RunFolder(without_releases(folder, tmp_path))
    method, budget = cu.Newton(operator="ggn"), cu.Budget(epsilon=1.0, delta=1e-5)

    def taken(name):
        return place.line(name, "newton", {"operator": "ggn"})

    def release(line, ids, **settings):
        update = method.forget(line.run, None, ids, jax.random.key(0))
        return cu.certify(update, budget, trivial=True, **settings)

    def asked(line, number):
        settings = {"method": "newton", "settings": {"operator": "ggn"}, "budget": budget}
        return line.ask([(Order(id=drawn_id(), line=line.name, **settings), np.array([number]))])

    first, second = taken("a"), taken("b")
    _, first = first.save(asked(first, 1), release(first, [1], account=first.account))
    entries = asked(second, 2)
    with pytest.raises(cu.BadInput, match="in the meantime"):
        second.save(entries, release(second, [2], account=second.account))
    second = taken("b")
    with pytest.raises(cu.BadInput, match=r"account=line\.account"):
        second.save(entries, release(second, [2]))
    second.save(entries, release(second, [2], account=second.account))
    assert place.ledger.account("c").releases == 2 and place.ledger.parts() == ["a-1", "b-1"]
