"""Labels, owners and test rows of the user's own CSV files, and the verdict that a plan allows."""

import warnings

import jax
import numpy as np
import pytest

import certunl as cu
from tests.datasets.test_own_csv import ROWS, written


def test_ids_that_are_ignored_or_owners_keep_every_digit(tmp_path):
    lines = ["id,a,y", *(f"90071992547409{92 + i},{i % 3},{'no' if i % 2 else 'yes'}" for i in range(5))]
    path = written(tmp_path, lines)
    assert cu.read_csv(path, label="y", ignore="id").plan["inferred"] == ["a", "y"]
    splits = cu.read_csv(path, label="y", owner="id")
    assert splits.owner_names == tuple(f"90071992547409{92 + i}" for i in range(5))


def test_owners_that_are_whole_numbers_keep_their_numbers(tmp_path):
    path = written(tmp_path, ["user,a,y", *(f"{70 + i // 2},{i},{'no' if i % 2 else 'yes'}" for i in range(5))])
    splits = cu.read_csv(path, label="y", owner="user")
    assert splits.owner_names is None and set(splits.train.owners.tolist()) <= {70, 71, 72}
    for names in (["007", "7"], ["-1", "2"], ["2147483648", "2"], ["1.5", "2"], ["٣", "2"]):
        path = written(tmp_path, ["user,a,y", *(f"{names[i % 2]},{i},{'no' if i % 2 else 'yes'}" for i in range(5))])
        assert cu.read_csv(path, label="y", owner="user").owner_names == tuple(names)


@pytest.mark.parametrize(
    ("labels", "settings", "classes", "y"),
    [
        ("10210", {}, [0, 1, 2], [1, 0, 2, 1, 0]),
        (["0.5", "1", "2", "-1", "0"], {}, None, [0.5, 1, 2, -1, 0]),
        ("10210", {"task": "regression"}, None, [1, 0, 2, 1, 0]),
        (["1.0", "0.0", "2.0", "1.0", "0.0"], {"task": "classification"}, [0, 1, 2], [1, 0, 2, 1, 0]),
        (["0.5", "1.5", "0.5", "1.5", "0.5"], {"task": "classification"}, ["0.5", "1.5"], [0, 1, 0, 1, 0]),
        (["b", "NA", "b", "a", "a"], {}, ["NA", "a", "b"], [2, 0, 2, 1, 1]),
    ],
)
def test_text_and_whole_labels_are_classes_and_other_numbers_are_targets(tmp_path, labels, settings, classes, y):
    path = written(tmp_path, ["a,y", *(f"{i},{label}" for i, label in enumerate(labels))])
    splits = cu.read_csv(path, label="y", test_path=path, **settings)
    assert splits.train.y.tolist() == y and splits.classes == (classes and len(classes))
    assert splits.train.y.dtype == (np.int32 if classes else np.float32)
    assert splits.plan["label"].get("categories") == classes


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["1", "2", "1", "2", "3"], "the classes 1, 2, 3 of the label 'y' of .* are numbered 0 to 2"),
        (["-1", "1", "1", "-1", "1"], "the classes -1, 1 of .* are numbered 0 to 1"),
        (["1.0", "0.0", "0.0", "1.0", "1.0"], "task='classification' makes it a class"),
        ([str(7 * i) for i in range(30)], "has 30 classes in 30 rows; task='regression'"),
    ],
)
def test_labels_that_are_probably_not_meant_so_are_warned_of(tmp_path, labels, sentence):
    path = written(tmp_path, ["a,y", *(f"{i * i},{label}" for i, label in enumerate(labels))])
    with pytest.warns(UserWarning, match=sentence):
        cu.read_csv(path, label="y")


def test_test_rows_of_their_own_file_share_the_plan_and_must_have_the_same_columns(tmp_path):
    first = written(tmp_path, ROWS)
    second = written(tmp_path, ["city,user,age,bought", "Oslo,zoe,100,no"], "test.csv")
    splits = cu.read_csv(first, label="bought", owner="user", test_path=second)
    assert len(splits.train) == 5 and splits.owner_names == ("ann", "bob", "eve", "zoe")
    assert splits.test.x.tolist() == [[1, 0, 0, 1, 0, 0]] and splits.test.owners.tolist() == [3]
    with pytest.raises(cu.BadInput, match="must have the same columns; 'city' is in one of them"):
        cu.read_csv(first, label="bought", test_path=written(tmp_path, ["town,user,age,bought", "a,b,1,no"], "t.csv"))


def test_a_certificate_is_proved_only_by_a_plan_that_declares_what_the_rows_suggested(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["user,age,city,bought"]
    for i in range(100):
        age = "" if i % 17 == 0 else rng.integers(18, 90)
        lines.append(f"u{i % 20},{age},{('Bonn', 'Rome', '')[rng.integers(3)]},{('no', 'yes')[rng.integers(2)]}")
    path = written(tmp_path, lines)
    suggested = cu.read_csv(path, label="bought", owner="user")
    plans = {"CONDITIONAL": suggested.plan, "PROVED": {**suggested.plan, "inferred": []}}
    for verdict, plan in plans.items():
        splits = cu.read_csv(path, plan=plan)
        problem = cu.classification(cu.models.Linear(classes=splits.classes, bound=float(np.sqrt(2))), splits.train)
        run = cu.train(
            problem, cu.Recipe(learning_rate=1.0, weight_decay=0.01, epochs=5, batch_size=20), jax.random.key(0)
        )
        update = cu.CertifiedRemoval().forget(run, None, cu.requests.by_owner(run, [3]), jax.random.key(1))
        certificate = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5)).certificate
        assert certificate.verdict == verdict and certificate.unchecked == splits.train.unchecked


def test_reading_a_plain_table_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cu.read_csv(written(tmp_path, ROWS), label="bought", owner="user")
