"""The README's own code runs, and its commands are the CLI's."""

import re
import shlex
from pathlib import Path

import jax
import pytest

from certunl import cli

TEXT = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_examples_run_and_print_a_verdict(capsys):
    whole = 'load("digits")'
    assert whole in TEXT
    with jax.enable_x64(False):
        scope: dict = {}
        for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
            exec(block.replace(whole, 'load("digits", train=700)'), scope)  # rows of all 1,437 take a while
    printed = capsys.readouterr().out
    assert printed.startswith("NOT CERTIFIED") and "relative distance" in printed
    assert "CONDITIONAL: certified_removal" in printed and "unchecked      the features' extractor" in printed
    rows = scope["cu"].evaluate(scope["run"], [5], scope["cu"].HessianFree().forget(scope["run"], None, [5], 0)).rows
    assert rows["hessian_free"]["relative_distance"] < 1e-3


def test_the_commands_run_on_real_mnist(tfds_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_dir)
    commands = [shlex.split(line) for line in re.findall(r"^    certunl (.*)$", TEXT, re.MULTILINE)]
    assert [words[0] for words in commands] == [
        *("train", "plan", "prepare", "forget", "forget", "evaluate", "report", "compare", "audit")
    ]
    for words in commands:
        if words[0] == "prepare":
            words += ["--set", "units=(0,1)"]  # all 5,000 rows take minutes: two show that the words are right
        if words[0] == "forget":
            words[words.index("random:50")] = "ids:0,1"
        if words[0] == "compare":  # all methods take minutes
            words = [
                {"random:500": "random:20", "class:3:400": "class:3:10", "influential:500": "ids:1,2"}.get(w, w)
                for w in words
            ]
            words += ["--methods", "finetune", "newton", "--attacks", "loss_threshold", "--shadows", "0"]
        words = [
            {"5000": "400", "epochs=10": "epochs=2", "all": "loss_threshold", "200": "20"}.get(word, word)
            for word in words
        ]
        cli.main(words)
    assert (tmp_path / "runs/m/report.html").exists()
    assert "hessian_free-1" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["python -m pip install . && certunl demo",
                                     "python -m pip install -e '.[test]' && python -m pytest"])  # fmt: skip
def test_the_quick_start_commands_are_there(command):
    assert f"    {command}\n" in TEXT
