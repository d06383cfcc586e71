"""`load` takes the user's own files, folders and functions beside the names of the registry."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import certunl as cu
from certunl.datasets import load
from tests.datasets.test_own_csv import ROWS, written
from tests.datasets.test_own_images import drawn

MODULE = """
import numpy as np
import scipy.sparse
import certunl as cu

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
data = cu.Dataset(X, Y, np.arange(10) // 2)

def one(): return data
def pair(): return data, data[:3]
def several(scale=1.0, seed=0): return cu.Splits(cu.Dataset(X * scale, Y), data[:3], 5, ("a",), {"of": "mine"})
def free(**settings): return cu.Dataset(X * len(settings), Y)
def targets(): return cu.Dataset(X, Y * 0.5)
def bytes_(): return cu.Dataset(X.astype(np.uint8), Y.astype(np.uint8))
def unsure(): return cu.Dataset(X, Y, unchecked="the moon is full")
def sparse(): return cu.Dataset(scipy.sparse.csr_matrix(X), Y)
def ragged(): return cu.Dataset(np.array([[1], [1, 2]] * 5, object), Y)
def objects(): return cu.Dataset(X, np.array(["a", None] * 5, object))
def words(): return cu.Dataset(X, np.array(["a", "b"] * 5))
def nan(): return data, cu.Dataset(X * np.nan, Y)
def long(): return cu.Dataset(X, Y[:9])
def negative(): return cu.Dataset(X, Y - 1)
def large(): return cu.Dataset((X * 2**40).astype(np.int64), Y)
def shapes(): return data, cu.Dataset(X[:, :1], Y)
def owners(): return cu.Dataset(X, Y, np.arange(10) - 1)
def few(): return data[:4]
def arrays(): return X, Y
def nothing(): pass
def listed(): return [data]
def three(): return data, data, data
def needs(path): return data
def fails(): raise RuntimeError("the disk is on fire")
def refuses(): raise cu.BadInput("not today")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a module of its own name."""
    name = f"own_sets_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def same(first, second):
    for part, other in zip(first[:2], second[:2], strict=True):
        np.testing.assert_array_equal(part.x, other.x)
        np.testing.assert_array_equal(part.y, other.y)
        assert part.unchecked == other.unchecked
    assert first[2:5] == second[2:5]
    np.testing.assert_array_equal(first.rows, second.rows)


def test_a_path_is_read_by_its_reader_with_its_settings(tmp_path, here):
    csv = written(tmp_path, ROWS)
    expected = cu.read_csv(csv, label="bought", owner="user", seed=3)
    for name in ("users.csv", "./users.csv", str(csv), csv):
        same(load(name, label="bought", owner="user", seed=3), expected)
    (tmp_path / "plan.json").write_text(json.dumps(expected.plan))
    same(load("users.csv", plan="plan.json", seed=3), expected)
    same(load("users.csv", data_dir=str(tmp_path), label="bought", owner="user", seed=3), expected)
    tabs = written(tmp_path, [line.replace(",", "\t") for line in ROWS], "users.tsv")
    same(load(tabs, label="bought", owner="user", seed=3), cu.read_csv(tabs, label="bought", owner="user", seed=3))
    np.savez(tmp_path / "data.npz", x=np.eye(10), y=np.arange(10) % 2)
    same(load("data.npz", scale=2), cu.read_npz("data.npz", scale=2))
    pa.parquet.write_table(pa.table({"a": [1, 2, 3, 4, 6], "y": list("ababa")}), tmp_path / "x.parquet")
    same(load("x.parquet", label="y"), cu.datasets.read_table(tmp_path / "x.parquet", label="y"))
    drawn(tmp_path / "pets")
    same(load("pets"), cu.datasets.read_images("pets"))
    same(load("pets", data_dir=tmp_path, size=8), cu.datasets.read_images("pets", size=8))


def test_sizes_limit_own_sets_as_they_limit_those_of_the_registry(tmp_path, here):
    np.savez(tmp_path / "data.npz", x=np.arange(30.0).reshape(30, 1), y=np.arange(30) % 2)
    whole = load("data.npz")
    part = load("data.npz", train=5, train_from=10, test=2)
    assert part.train.x.tolist() == whole.train.x[10:15].tolist() and part.test.x.tolist() == whole.test.x[:2].tolist()
    assert part.rows.tolist() == whole.rows[10:15].tolist() == part.train.x[:, 0].tolist()
    assert len(load("data.npz", train_from=20).train) == 4 and len(load(f"{here}:pair", train=4).train) == 4
    for wrong in ({"train": 25}, {"test": 0}, {"train": True}, {"train_from": 24}, {"train_from": -1}, {"test": "t"}):
        with pytest.raises(cu.BadInput, match="must be"):
            load("data.npz", **wrong)


def test_a_function_gives_one_set_or_two_or_splits_and_its_data_are_unchecked(here):
    word = "the function {} does not scale by, or choose from, the rows"
    one = load(f"{here}:one")
    assert (len(one.train), len(one.test), one.classes) == (8, 2, 2) and one.train.owners is not None
    assert one.train.unchecked == one.test.unchecked == (word.format(f"{here}:one"),)
    pair = load(f"{here}:pair")
    assert (len(pair.train), len(pair.test), pair.classes, pair.plan) == (10, 3, 2, None)
    several = load(f"{here}:several", scale=2.0, seed=1)
    assert several[2:] == (5, ("a",), {"of": "mine"}, None) and several.train.x[-1].tolist() == [36, 38]
    assert load(f"{here}:free", a=1, b=2).train.x.max() == 38
    assert load(f"{here}:targets").classes is None
    with pytest.warns(UserWarning, match="x of the training part of .*:bytes_ holds bytes up to 19"):
        assert load(f"{here}:bytes_").train.y.dtype == np.int32
    assert load(f"{here}:unsure").train.unchecked == ("the moon is full", word.format(f"{here}:unsure"))
    seeds = [load(f"{here}:one", seed=seed).test.x.tolist() for seed in range(5)]
    assert len({str(x) for x in seeds}) > 1


@pytest.mark.parametrize(
    ("function", "settings", "sentence"),
    [
        ("sparse", {}, r"x of the training part of .*:sparse is a sparse matrix"),
        ("ragged", {}, "x of the training part of .*:ragged is ragged"),
        ("objects", {}, "y of the training part of .*:objects must hold real numbers, got dtype object"),
        ("words", {}, "y of the training part of .*:words must hold real numbers, got dtype <U1"),
        ("nan", {}, "the test part of .*:nan: x.* holds NaN"),
        ("long", {}, "the training part of .*:long: x, y and owners.* must have one row per example"),
        ("negative", {}, "the labels of .*:negative begin at -1; classes are numbered from 0"),
        ("large", {}, "x of the training part of .*:large holds whole numbers from 0 to"),
        ("shapes", {}, "x of a training example has the shape .2,., but of a test example .1,."),
        ("owners", {}, "the training part of .*:owners: owners.* must be whole numbers"),
        ("few", {}, "five rows are needed"),
        ("arrays", {}, r"must return datasets\.Splits, \(train, test\) of Dataset, or one Dataset, got tuple"),
        ("nothing", {}, "or one Dataset, got NoneType"),
        ("listed", {}, "or one Dataset, got list"),
        ("three", {}, "or one Dataset, got tuple"),
        ("needs", {}, "the function .*:needs failed: TypeError: .* missing 1 required"),
        ("fails", {}, "the function .*:fails failed: RuntimeError: the disk is on fire$"),
        ("refuses", {}, "^not today$"),
        ("one", {"label": "y"}, "own_sets.*:one has no setting 'label'; it has none"),
        ("several", {"label": "y"}, "has no setting 'label'; it has scale, seed"),
        ("Y", {}, "own_sets.*:Y is ndarray; a function that returns a data set is expected"),
        ("absent", {}, "has no 'absent'; it has "),
    ],
)
def test_a_function_that_gives_no_data_set_gets_one_sentence(here, function, settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        load(f"{here}:{function}", **settings)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("mnits", {}, r"there is no data set 'mnits'; known are adult, .*wine; also taken is a file \(\.npz, \.csv"),
        ("", {}, "there is no data set ''; known are adult"),
        (3, {}, "a data set is named by text, got int"),
        ("no.csv", {"label": "y"}, r"there is no file .*/no\.csv"),
        ("no/where", {}, "no/where is no data set; expected is a file"),
        ("users.txt", {}, r"users\.txt is no data set; expected is a file"),
        ("users.csv", {"labl": "y"}, "read_csv has no setting 'labl'; it has label, owner, plan"),
        ("users.csv", {}, "label must name the column to predict; the columns of .* are user, age, city, bought"),
        ("pets", {"label": "y"}, "read_images has no setting 'label'; it has size, plan, seed"),
        ("no_such_module:f", {}, "there is no module 'no_such_module'"),
        ("users.csv:f", {}, "there is no module 'users'"),
        ("wine", {"label": "y"}, "datasets/wine has no setting 'label'; it has train, test"),
    ],
)  # fmt: skip
def test_a_name_or_setting_that_leads_nowhere_gets_one_sentence(tmp_path, here, name, settings, sentence):
    written(tmp_path, ROWS)
    written(tmp_path, ROWS, "users.txt")
    drawn(tmp_path / "pets")
    with pytest.raises(cu.BadInput, match=sentence):
        load(name, **settings)


def test_a_name_of_the_registry_comes_before_a_folder_of_that_name(tmp_path, here):
    drawn(tmp_path / "wine")
    assert load("wine").train.x.shape == (142, 13) and load("./wine").train.x.shape == (8, 4, 6, 1)
