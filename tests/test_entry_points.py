"""Other packages add names by entry points: a small package with its metadata in a folder on the path."""

import sys

import jax
import pytest

import certunl as cu
from certunl import registry
from certunl.training.provenance import known

CODE = """
from dataclasses import dataclass
import numpy as np
from flax import linen as nn
import certunl as cu

class Deep(nn.Module):
    classes: int = 3
    depth: int = 1

    @nn.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = nn.tanh(nn.Dense(4, param_dtype=x.dtype)(x))
        return nn.Dense(self.classes, param_dtype=x.dtype)(x)

class MLP(cu.models.MLP):
    pass

def rings(train=None, test=None):
    x = np.random.default_rng(0).normal(size=(40, 2))
    y = (np.linalg.norm(x, axis=1) > 1).astype(np.int32)
    return cu.datasets.Splits(cu.Dataset(x[:30], y[:30]), cu.Dataset(x[30:], y[30:]), 2)

@dataclass(frozen=True)
class Stay(cu.Unlearner):
    name = "stay"

def agreement(outcome):
    return {"agreement": 1.0}
"""
POINTS = """
[certunl.models]
deep = plugin_h2:Deep
mlp = plugin_h2:MLP
broken = plugin_h2:NotThere
absent = plugin_of_nobody:Net
bad = plugin_bad_h2:Net
[certunl.datasets]
rings = plugin_h2:rings
[certunl.methods]
stay = plugin_h2:Stay
[certunl.metrics]
agreement = plugin_h2:agreement
[certunl.other]
ignored = plugin_h2:Deep
"""


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """The package `plugin`, as pip would install it."""
    (tmp_path / "plugin_h2.py").write_text(CODE)
    (tmp_path / "plugin_bad_h2.py").write_text("1 / 0")
    facts = tmp_path / "plugin-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("plugin_h2", None)


def test_names_of_other_packages_follow_the_own_ones_and_repeat_none():
    own = ["allcnn", "cnn", "equinox", "frozen", "lenet5", "linear", "mlp", "nnx", "resnet18"]
    assert registry.names("models") == [*own, "absent", "bad", "broken", "deep"]
    assert registry.names("datasets")[-1] == "rings" and registry.names("methods")[-1] == "stay"
    assert registry.names("metrics")[-1] == "agreement" and "rings" not in registry.names("attacks")


def test_what_they_name_is_built_and_a_house_name_wins():
    model = registry.build("models", "deep", depth=2)
    assert type(model).__module__ == "plugin_h2" and model.depth == 2
    assert registry.find("models", "mlp") is cu.models.MLP
    assert registry.build("methods", "stay").name == "stay"
    with pytest.raises(cu.BadInput, match="models/deep has no setting 'width'; it has classes, depth"):
        registry.build("models", "deep", width=3)


def test_their_data_and_models_train_and_are_not_taken_for_the_library_s_own():
    splits = cu.datasets.load("rings")
    run = cu.train(
        cu.classification(registry.build("models", "deep"), splits.train),
        cu.Recipe(epochs=1, learning_rate=0.1, batch_size=10),
        jax.random.key(0),
    )
    assert len(run.problem.data) == 30 and "rings" in run.problem.unchecked[0]
    assert known(cu.models.MLP()) and not known(registry.build("models", "deep"))
    assert not known(registry.find("models", "plugin_h2:MLP")())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("broken", r"models/broken of plugin cannot be loaded from plugin_h2:NotThere \(AttributeError: "),
        ("absent", r"absent of plugin cannot be loaded from plugin_of_nobody:Net \(ModuleNotFoundError: No module"),
        ("bad", r"cannot be loaded from plugin_bad_h2:Net \(ZeroDivisionError: division by zero\); repair"),
        ("deeper", "known are allcnn, .*deep"),
    ],
)
def test_a_broken_one_is_a_sentence_when_it_is_asked_for_and_hinders_no_other(name, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        registry.find("models", name)
    registry.find("models", "deep")


def test_all_of_a_room_leave_out_a_broken_one_with_a_warning():
    with pytest.warns(UserWarning, match="models/(absent|bad|broken) of plugin cannot be loaded") as warned:
        things = registry.every("models")
    assert len(warned) == 3 and set(registry.names("models")) - set(things) == {"absent", "bad", "broken"}
    assert "stay" in cu.every_method()
