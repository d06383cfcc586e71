"""A training that was killed goes on from its last state and ends with the same numbers, to the bit."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.training.stages import chunks
from tests.cases import KEY, classes
from tests.test_random_losses import Dropped
from tests.verbs import certunl, refused

DIGITS = cu.datasets.load("digits", train=300).train


def problem(**settings):
    return cu.classification(cu.models.MLP(hidden=(8,), classes=10), DIGITS, **settings)


def same(one, two):
    leaves = zip(*(jax.tree.leaves((run.params, run.losses)) for run in (one, two)), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


class Killed(Exception):
    pass


def stopping(at):
    def progress(done, total):
        if done >= at:
            raise Killed

    return progress


@pytest.mark.parametrize(
    "recipe",
    [
        cu.Recipe(epochs=4, batch_size=30, learning_rate=0.1, radius=5.0, weight_decay=0.01),
        cu.Recipe(epochs=4, batch_size=30, learning_rate=0.01, optimizer="adam"),
        cu.Recipe(epochs=4, batch_size=31, learning_rate=0.1, optimizer="momentum", denominator="retained"),
        cu.Recipe(epochs=3, batch_size=30, learning_rate=0.1, optimizer=optax.noisy_sgd(1.0, key=jax.random.key(0))),
    ],
    ids=["sgd", "adam", "momentum", "an optimizer with a key"],
)
def test_a_killed_training_goes_on_and_ends_with_the_same_bits(recipe, tmp_path):
    whole = cu.train(problem(), recipe, KEY)
    checkpoints = cu.Checkpoints(tmp_path / "states", seconds=0)
    for at in (5, 17, 18):
        with pytest.raises(Killed):
            cu.train(problem(), recipe, KEY, progress=stopping(at), checkpoints=checkpoints)
        assert len(list((tmp_path / "states").iterdir())) == 1
    counted = []
    again = cu.train(problem(), recipe, KEY, progress=lambda *at: counted.append(at), checkpoints=checkpoints)
    assert same(whole, again) and counted[0][0] > 18 and counted[-1] == (len(whole.schedule),) * 2
    checkpoints.clear()
    assert not (tmp_path / "states").exists()


def test_random_losses_go_on_with_the_keys_of_their_steps(tmp_path):
    recipe = cu.Recipe(epochs=4, batch_size=30, learning_rate=0.1)
    random = cu.classification(Dropped(), classes(n=300), randomness=3)
    whole, checkpoints = cu.train(random, recipe, KEY), cu.Checkpoints(tmp_path / "states", seconds=0)
    with pytest.raises(Killed):
        cu.train(random, recipe, KEY, progress=stopping(20), checkpoints=checkpoints)
    assert same(whole, cu.train(random, recipe, KEY, checkpoints=checkpoints))


@pytest.mark.parametrize("total", [*range(1, 13), 99, 100, 101, 199, 201, 997, 1000, 12345])
def test_chunks_cover_every_step_once_and_none_has_one_step(total):
    parts = list(chunks(total))
    assert [first for first, _ in parts] == [0, *(end for _, end in parts[:-1])] and parts[-1][1] == total
    sizes = [end - first for first, end in parts]
    assert min(sizes) > 1 or total == 1
    assert len(parts) <= 115 and len(set(itertools.islice(sizes, len(sizes) - 1))) <= 1


def test_states_of_another_training_and_damaged_ones_are_refused(tmp_path):
    recipe = cu.Recipe(epochs=2, batch_size=30, learning_rate=0.1)
    checkpoints = cu.Checkpoints(tmp_path / "states", seconds=0)
    with pytest.raises(Killed):
        cu.train(problem(), recipe, KEY, progress=stopping(5), checkpoints=checkpoints)
    others = ((cu.Recipe(epochs=2, batch_size=30, learning_rate=0.2), KEY), (recipe, jax.random.key(9)))
    for other, key in others:
        with pytest.raises(cu.BadInput, match="other settings or data; remove it to begin anew"):
            cu.train(problem(), other, key, checkpoints=checkpoints)
    [state] = (tmp_path / "states").iterdir()
    facts = json.loads((state / "facts.json").read_text())
    (state / "facts.json").write_text(json.dumps(facts | {"arrays": "0"}))
    with pytest.raises(cu.BadInput, match="is not as it was written"):
        cu.train(problem(), recipe, KEY, checkpoints=checkpoints)


WORDS = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=100", "hidden=(8,)", "batch_size=32", "radius=20")
CODE = """
import sys, os, time
from certunl import cli
from certunl.folders import _writing
class Often(_writing.Checkpoints):
    def save(self, steps, arrays):
        self._last = -1e9
        super().save(steps, arrays)
        if steps >= int(sys.argv[1]):
            os.kill(os.getpid(), 9)
_writing.Checkpoints = Often
cli.main(sys.argv[2:])
"""


def test_a_killed_verb_goes_on_and_leaves_the_folder_of_an_uninterrupted_one(tmp_path, capsys):
    certunl("train", tmp_path / "whole", *WORDS)
    place = tmp_path / "run"
    call = [sys.executable, "-c", CODE, "100", "train", str(place), *WORDS]
    done = subprocess.run(call, env=os.environ | {"JAX_ENABLE_X64": "1"}, capture_output=True)
    assert done.returncode == -signal.SIGKILL and [p.name for p in (place / ".certunl-training").iterdir()] == ["100"]
    assert (place / ".certunl-training").stat().st_mode & 0o777 == 0o700
    assert "the same certunl train command goes on" in refused(capsys, "forget", place)
    assert "other settings" in refused(capsys, "train", place, *WORDS, "learning_rate=0.3")
    assert [p.name for p in (place / ".certunl-training").iterdir()] == ["100"]  # a slip costs nothing
    certunl("train", place, *WORDS)
    one, two = RunFolder(tmp_path / "whole"), RunFolder(place)
    assert same(one.run, two.run) and one.facts["fingerprint"] == two.facts["fingerprint"]
    names = {path.name for path in place.iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()} and ".certunl-training" not in names
    assert "is not empty" in refused(capsys, "train", place, *WORDS)


def test_a_training_that_fails_leaves_no_folder(tmp_path, capsys):
    words = ("--dataset", "wine", "--model", "mlp", "--set", "epochs=50", "learning_rate=1e30")
    assert "NaN or infinite" in refused(capsys, "train", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_two_trainings_into_one_folder_the_second_is_told(tmp_path, capsys):
    code = CODE.replace("os.kill(os.getpid(), 9)", "time.sleep(60)")
    call = [sys.executable, "-c", code, "100", "train", str(tmp_path / "run"), *WORDS]
    with subprocess.Popen(call, env=os.environ | {"JAX_ENABLE_X64": "1"}) as process:
        while not (tmp_path / "run" / ".certunl-training" / "100").exists():
            time.sleep(0.1)
        assert "another certunl is working on" in refused(capsys, "train", tmp_path / "run", *WORDS)
        process.kill()
