"""What is secret on disk stays its owner's, and the report says so when it does not."""

import os

import pytest

from certunl.folders import RunFolder
from tests.verbs import certunl


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "wine"
    wine = ("--dataset", "wine", "--model", "linear", "--set", "epochs=5", "radius=6", "learning_rate=0.1")
    settings = ("--method", "newton", "--request", "ids:3", "--set", "assumed=linear", "damping=0.1")
    certunl("train", place, *wine, "weight_decay=0.1", "bound=1")
    certunl("forget", place, *settings)
    certunl("forget", place, *settings, "--name", "fixed", "--sigma", 5)
    certunl("report", place)
    return place


def test_only_releases_may_be_read_by_others(folder):
    secret = {"arrays", "updates", "evaluation.json", "report.html", "report.md", "report"}
    assert all((folder / name).stat().st_mode & 0o077 == 0 for name in secret)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder / "report").iterdir())
    assert RunFolder(folder).releases.warnings() == [] and "class=warning" not in (folder / "report.html").read_text()


def test_an_epsilon_read_off_one_requests_bound_is_not_published(folder):
    _, noted = RunFolder(folder).releases.updates.load("fixed-1")
    _, public = RunFolder(folder).releases.published.load("fixed-1")
    assert noted["certificate"]["epsilon"] > 0 and public["epsilon"] is None and public["sigma"] == 5
    assert RunFolder(folder).releases.published.load("newton-1")[1]["epsilon"] == 1.0


def test_the_report_warns_of_un_noised_models_that_others_may_read(folder, capsys):
    os.chmod(folder / "updates", 0o755)
    certunl("report", folder)
    assert "warning: releases and un-noised models lie in one folder that others may read (updates)" in (
        capsys.readouterr().out
    )
    page = (folder / "report.html").read_text()
    assert "class=warning" in page and "Publish releases/ alone" in page
    os.chmod(folder / "updates", 0o700)


def test_the_report_names_releases_that_carry_no_noise(folder, capsys):
    certunl("forget", folder, "--method", "finetune", "--request", "ids:3")
    certunl("forget", folder, "--method", "retrain", "--request", "ids:3")
    certunl("report", folder)
    assert "warning: finetune-1 in releases/ carry no noise" in capsys.readouterr().out
    assert "finetune-1 in releases/ carry no noise" in (folder / "report.html").read_text()
