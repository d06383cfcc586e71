"""Shapes, label sets, ranges and scale of every data set that is at hand."""

import jax
import numpy as np
import pytest

import certunl as cu


@pytest.mark.parametrize(
    ("name", "train", "test", "shape", "classes"),
    [
        ("digits", 1437, 360, (8, 8, 1), 10),
        ("wine", 142, 36, (13,), 3),
        ("breast_cancer", 455, 114, (30,), 2),
    ],
)
def test_bundled_sets_have_their_shapes_labels_and_scale(name, train, test, shape, classes):
    data = cu.datasets.load(name)
    assert data.train.x.shape == (train, *shape) and data.test.x.shape == (test, *shape)
    assert data.train.x.dtype == np.float32 and data.train.y.dtype == np.int32
    assert set(data.train.y.tolist()) == set(data.test.y.tolist()) == set(range(classes)) and data.classes == classes
    deviations = data.train.x.std(0)
    assert (deviations < 1.5).all() and (deviations > 0.1).mean() > 0.6
    assert data.train.unchecked == ()


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer"])
def test_the_scale_of_a_bundled_set_knows_no_row(name, monkeypatch):
    import sklearn.datasets

    whole, loader = cu.datasets.load(name), getattr(sklearn.datasets, f"load_{name}")

    def other():
        bunch = loader()
        bunch.data = bunch.data.copy()
        bunch.data[0] *= 100.0
        return bunch

    monkeypatch.setattr(sklearn.datasets, f"load_{name}", other)
    changed = cu.datasets.load(name)
    rows = sum(int((a.x != b.x).reshape(len(a), -1).any(1).sum()) for a, b in zip(whole[:2], changed[:2], strict=True))
    assert rows == 1


def test_sizes_limit_the_splits_and_impossible_ones_are_refused():
    data = cu.datasets.load("wine", train=20, test=5)
    assert len(data.train) == 20 and len(data.test) == 5
    assert (data.train.x == cu.datasets.load("wine").train.x[:20]).all()
    for size in (0, 143, -1, 2.5):
        with pytest.raises(cu.BadInput, match="from 1 to 142"):
            cu.datasets.load("wine", train=size)


def test_training_examples_may_begin_later():
    whole, part = cu.datasets.load("wine"), cu.datasets.load("wine", train=20, train_from=100)
    np.testing.assert_array_equal(part.train.x, whole.train.x[100:120])
    np.testing.assert_array_equal(part.test.y, whole.test.y)
    assert len(cu.datasets.load("wine", train_from=100).train) == 42
    for wrong in ({"train_from": 142}, {"train_from": -1}, {"train_from": 1.0}, {"train_from": 100, "train": 43}):
        with pytest.raises(cu.BadInput, match=r"train_from must be|from 1 to 142"):
            cu.datasets.load("wine", **wrong)
    with pytest.raises(cu.BadInput, match="got 0"):
        cu.datasets.load("wine", train_from=100, train=0)


def test_mislabel_replaces_a_share_of_the_labels_by_wrong_classes_and_nothing_else():
    data = cu.datasets.load("digits").train
    changed, ids = cu.datasets.mislabel(jax.random.key(3), data, 0.2)
    assert ids.dtype == np.int32 and len(ids) == round(0.2 * 1437) and (np.diff(ids) > 0).all()
    np.testing.assert_array_equal(np.flatnonzero(changed.y != data.y), ids)
    assert changed.y.dtype == data.y.dtype and changed.x is data.x
    assert changed.y.min() == 0 and changed.y.max() == 9
    again, other = (cu.datasets.mislabel(jax.random.key(seed), data, 0.2) for seed in (3, 4))
    assert (again[0].y == changed.y).all() and (other[1] != ids).any()
    beyond, everyone = cu.datasets.mislabel(jax.random.key(0), cu.Dataset(data.x, 0 * data.y), 1.0, classes=3)
    assert len(everyone) == 1437 and set(beyond.y.tolist()) == {1, 2}
    assert abs((beyond.y == 1).mean() - 0.5) < 5 * 0.5 / np.sqrt(1437)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, 1e-9, float("nan"), "half"])
def test_a_share_that_replaces_nothing_or_more_than_all_is_refused(share):
    with pytest.raises(cu.BadInput, match="share of labels"):
        cu.datasets.mislabel(jax.random.key(0), cu.datasets.load("wine").train, share)
    with pytest.raises(cu.BadInput, match="1 classes"):
        cu.datasets.mislabel(jax.random.key(0), cu.Dataset(np.zeros((4, 1)), np.zeros(4, int)), 0.5)
    with pytest.raises(cu.BadInput, match="whole-number labels"):
        cu.datasets.mislabel(jax.random.key(0), cu.Dataset(np.zeros((4, 1)), np.zeros(4)), 0.5)


def test_unknown_names_and_settings_are_refused_with_the_known_ones():
    with pytest.raises(cu.BadInput, match=r"digits.*mnist"):
        cu.datasets.load("mnits")
    with pytest.raises(cu.BadInput, match="no setting 'size'; it has train, test"):
        cu.datasets.load("wine", size=3)


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_prepared_sets_are_read_without_tensorflow(tfds_dir, name, shape):
    import sys

    data = cu.datasets.load(name, train=500, test=100, data_dir=tfds_dir)
    assert data.train.x.shape == (500, *shape) and data.test.x.shape == (100, *shape)
    assert set(data.train.y.tolist()) == set(range(10)) and data.classes == 10
    pixels = data.train.x if name == "mnist" else (data.train.x + 1) / 2
    assert pixels.min() > -1e-6 and pixels.max() < 1 + 1e-6 and pixels.max() > 0.99
    assert "tensorflow" not in sys.modules
