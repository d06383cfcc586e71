"""evaluate with attacks, compare and audit on a run folder."""

import json
import shutil

import pytest

from tests.verbs import certunl, listing


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """A softmax regression, for which there are theorems."""
    folder = tmp_path_factory.mktemp("runs") / "linear"
    settings = ("epochs=5", "batch_size=32", "weight_decay=0.1", "bound=1.0", "learning_rate=0.5")
    certunl("train", folder, "--dataset", "wine", "--model", "linear", "--set", *settings)
    return folder


def test_methods_are_compared_on_one_page_and_nothing_is_released(linear, capsys):
    methods = ("finetune", "certified_removal", "hessian_free", "scrub")
    requests = ("random:12", "influential:8")
    settings = ("finetune.epochs=2", "certified_removal.solver.tol=1e-3")
    studies = ("--shadows", 4, "--attacks", "lira", "ulira", "loss_threshold", "--models", 10, "--single", 3)
    certunl("compare", linear, "--methods", *methods, "--requests", *requests, "--set", *settings, *studies)
    printed = capsys.readouterr()
    assert "nothing was released" in printed.out and "random:12: forgetting by scrub" in printed.err
    assert not (linear / "releases").exists() and not (linear / "updates").exists()
    held = json.loads((linear / "comparison.json").read_text())
    assert [report["request"] for report in held] == list(requests)
    for report in held:
        assert {"original", "retrain", *methods} <= set(report["rows"])
        assert set(report["controls"]) == {"lira", "ulira", "loss_threshold"}
        assert report["verdicts"]["certified_removal"] == "PROVED"
        assert "klom_forget" in report["rows"]["scrub"] and "leave_one_out_own_pearson" in report["rows"]["scrub"]
    page, text = ((linear / f"comparison.{end}").read_text() for end in ("html", "md"))
    for told in ("random:12", "influential:8", "FineTune(epochs=2", "NOT CERTIFIED", "ulira", "shadow models"):
        assert told in page and told in text
    assert (linear / "comparison.html").stat().st_mode & 0o077 == 0
    assert len(list((linear / "comparison").glob("*.png"))) >= 8


def test_a_method_that_cannot_is_named_with_its_reason(folder, capsys):
    certunl("compare", folder, "--methods", "certified_removal", "finetune", "--requests", "random:6", "--shadows", 0)
    (report,) = json.loads((folder / "comparison.json").read_text())
    assert "closed form" in report["left_out"]["certified_removal"] and "finetune" in report["rows"]
    assert "closed form" in (folder / "comparison.html").read_text()


def test_releases_are_attacked_where_asked(folder, capsys):
    certunl("evaluate", folder, "--attacks", "lira", "ulira", "--shadows", 4)
    assert "lira" in capsys.readouterr().out
    (report,) = json.loads((folder / "evaluation.json").read_text())
    assert set(report["attacks"]["newton-1 + noise"]) == {"lira", "ulira"}
    certunl("report", folder)
    page = (folder / "report.html").read_text()
    assert "ROC" in page and "seed of the attacks" in page and "attack ulira" in page
    certunl("forget", folder, "--method", "finetune", "--request", "random:8")
    certunl("report", folder)  # evaluates again, with the attacks of the last time
    both = json.loads((folder / "evaluation.json").read_text())
    assert [set(report["controls"]) for report in both] == [{"lira", "ulira"}] * 2


def test_a_page_without_attacks_says_so(linear, capsys):
    certunl("forget", linear, "--method", "finetune", "--request", "random:8")
    certunl("report", linear, "--formats", "csv", "svg")
    assert "nothing was attacked" in capsys.readouterr().out
    assert (linear / "report" / "models.csv").read_text().startswith("model,verdict,seconds,")
    assert (linear / "report" / "01-distance.svg").exists() and not (linear / "report" / "tables.tex").exists()
    assert "nothing was attacked" in (linear / "report.html").read_text()


def test_the_number_of_shadow_models_may_be_left_open(linear):
    certunl("forget", linear, "--method", "finetune", "--request", "random:8", "--name", "open")
    certunl("evaluate", linear, "--attacks", "loss_threshold")
    assert json.loads((linear / "attacked.json").read_text())["shadows"] is None
    certunl("forget", linear, "--method", "finetune", "--request", "random:8", "--name", "open")
    certunl("report", linear)  # evaluates again
    reports = json.loads((linear / "evaluation.json").read_text())
    assert {tuple(report["controls"]) for report in reports} == {("loss_threshold",)} and len(reports) >= 2


def test_variants_of_an_attack_stand_beside_one_another(linear):
    variants = ("update_difference:features=l2", "update_difference:features=direct_difference,attacker=tree")
    certunl("compare", linear, "--methods", "finetune", "--requests", "random:12", "--attacks", *variants)
    (report,) = json.loads((linear / "comparison.json").read_text())
    assert set(report["attacks"]["finetune"]) == set(variants)
    assert "attacker='tree'" in (linear / "comparison.html").read_text().replace("&#x27;", "'")


def test_what_is_done_is_kept_when_the_rest_cannot_be(linear, monkeypatch):
    from certunl.cli import _studying

    done = _studying.compare_all

    def interrupted(run, asked, *words, **settings):
        if "random:9" in asked:
            raise KeyboardInterrupt
        return done(run, asked, *words, **settings)

    monkeypatch.setattr(_studying, "compare_all", interrupted)
    words = ("--methods", "finetune", "--requests", "random:7", "random:9", "--attacks", "loss_threshold")
    with pytest.raises(SystemExit) as stop:
        certunl("compare", linear, *words)
    assert stop.value.code == 130
    assert [r["request"] for r in json.loads((linear / "comparison.json").read_text())] == ["random:7"]
    assert "random:7" in (linear / "comparison.html").read_text()


def test_an_audit_is_told_and_kept_and_shown_in_the_report(folder, capsys):
    certunl("audit", folder, "--method", "finetune", "--canaries", 30)
    assert "epsilon is at least" in capsys.readouterr().out
    certunl("audit", folder, "--method", "retrain", "--canaries", 20, "--distance", 0.1, "--seed", 3)
    first, second = json.loads((folder / "audits.json").read_text())
    assert (first["method"], second["method"]) == ("finetune", "retrain") and not second["refuted"]
    assert second["found"]["guesses"] == 10 and second["seed"] == 3
    certunl("report", folder)
    assert second["said"].split(";")[0] in (folder / "report.html").read_text()
    assert (folder / "audits.json").stat().st_mode & 0o077 == 0
    (folder / "audits.json").write_text(json.dumps([first | {"refuted": True}]))
    certunl("report", folder)
    assert "warning: audit 1 of finetune" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare", "--requests", "random:5", "--set", "damping=0.1"], "name their method"),
        (["compare", "--set", "newtom.damping=0.1"], "newtom"),
        (["compare", "--models", "3"], "at least 10"),
        (["compare", "--single", "2"], "at least 3"),
        (["compare", "--methods", "newtom"], "known are"),
        (["compare", "--methods", "finetune", "--requests", "everyone"], "random:SIZE"),
        (["compare", "--methods", "finetune", "--requests", "random:5", "--attacks", "oracle"], "unknown name"),
        (["compare", "--methods", "finetune", "--requests", "random:5", "--shadows", "3"], "even number"),
        (["evaluate", "--attacks", "oracle"], "unknown name"),
        (["audit", "--canaries", "5000"], "test examples"),
        (["audit", "--method", "newtom"], "known are"),
        (["audit", "--mislabelled", "2"], "mislabelled"),
        (["audit", "--seed", "-1"], "seed must be"),
    ],
    ids=lambda w: " ".join(w) if isinstance(w, list) else "",
)
def test_what_cannot_be_studied_is_refused_in_one_sentence_and_changes_nothing(
    words, sentence, folder, tmp_path, capsys
):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = listing(copy)
    verb, *rest = words
    capsys.readouterr()
    with pytest.raises(SystemExit):
        certunl(verb, copy, *rest)
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("certunl: ") and sentence in last
    assert listing(copy) == before
