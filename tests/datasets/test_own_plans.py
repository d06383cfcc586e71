"""Plans of tables: they declare what the rows would otherwise suggest, and are checked to the last key."""

import json

import numpy as np
import pytest

import certunl as cu
from tests.datasets.plans import PLAN, changed
from tests.datasets.test_own_csv import ROWS, written


def test_a_declared_plan_decides_the_features_and_leaves_nothing_unchecked(tmp_path):
    path = written(tmp_path, ROWS)
    splits = cu.read_csv(path, plan=PLAN, test_path=path)
    # Rome, Bonn, another city, city is missing, age from 0 to 80, age is missing
    assert splits.train.x.tolist() == [
        [0, 1, 0, 0, -0.5, 0], [1, 0, 0, 0, 0.5, 0], [1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0], [0, 1, 0, 0, -0.25, 0],
    ]  # fmt: skip
    assert splits.classes == 3 and splits.train.unchecked == splits.test.unchecked == ()
    assert splits.plan == PLAN and splits.owner_names == ("ann", "bob", "eve")


def test_the_features_of_a_row_do_not_depend_on_other_rows(tmp_path):
    rows = [line.replace("40,", "79,Paris").replace("60,Rome", "1,Oslo") for line in ROWS]
    first, second = (
        cu.read_csv(written(tmp_path, r), plan=PLAN, test_path=written(tmp_path, ROWS, "t.csv")) for r in (ROWS, rows)
    )
    assert (first.train.x != second.train.x).any(axis=1).tolist() == [False, True, False, True, False]


def test_a_plan_comes_back_from_json_unchanged_with_what_was_inferred(tmp_path):
    path = written(tmp_path, ROWS)
    first = cu.read_csv(path, label="bought", owner="user")
    (tmp_path / "plan.json").write_text(json.dumps(first.plan))
    for plan in (first.plan, tmp_path / "plan.json", str(tmp_path / "plan.json")):
        again = cu.read_csv(path, plan=plan)
        assert again.plan == first.plan and again.train.unchecked == first.train.unchecked != ()
        np.testing.assert_array_equal(again.train.x, first.train.x)
    assert cu.read_csv(path, plan={**first.plan, "inferred": []}).train.unchecked == ()
    partly = cu.read_csv(path, plan={**first.plan, "inferred": ["age"]}).train.unchecked
    assert len(partly) == 1 and "of age, which" in partly[0]


def test_omitted_keys_have_defaults_and_numpy_numbers_become_those_of_json(tmp_path):
    plan = {
        "of": "table",
        "label": {"name": "bought", "kind": "category", "categories": ("no", "yes")},
        "columns": [
            {"name": "age", "kind": "number", "low": np.float32(0), "high": np.int64(80), "missing": True},
            {"name": "city", "kind": "ignored"},
            {"name": "user", "kind": "ignored"},
        ],
    }
    splits = cu.read_csv(written(tmp_path, ROWS), plan=plan)
    assert json.loads(json.dumps(splits.plan)) == splits.plan and splits.train.x.shape == (4, 2)
    assert splits.train.owners is None and splits.owner_names is None and splits.plan["inferred"] == []


def test_a_number_outside_its_declared_range_is_moved_to_the_end_and_the_norm_stays_bounded(tmp_path):
    path = written(tmp_path, [*ROWS[:-1], "bob,1000,Bonn,yes"])
    with pytest.warns(UserWarning, match="1 numbers of column 'age' of .* lie outside 0 to 80; they are moved"):
        splits = cu.read_csv(path, plan=PLAN, test_path=written(tmp_path, ROWS, "t.csv"))
    assert splits.train.x[-1, 4] == 1 and (np.linalg.norm(splits.train.x, axis=1) <= np.sqrt(2)).all()


def test_whole_number_categories_are_read_however_they_are_written(tmp_path):
    plan = changed("columns.1", {"name": "age", "kind": "category", "categories": [20, 30, 40, 60], "missing": True})
    rows = [line.replace(",20", ",020").replace(",60", ",60.0").replace(",,R", ",NA,R") for line in ROWS]
    path = written(tmp_path, rows)
    x = cu.read_csv(path, plan=plan, test_path=path).train.x[:, 4:]
    assert x.argmax(1).tolist() == [0, 3, 4, 2, 1] and (x.sum(1) == 1).all()


def test_a_range_of_the_label_makes_targets_of_minus_one_to_one(tmp_path):
    plan = changed("label", {"name": "age", "kind": "number", "low": 0, "high": 80})
    plan["columns"] = [PLAN["columns"][0], {"name": "bought", "kind": "category", "categories": ["no", "yes"]}]
    path = written(tmp_path, [line.replace(",,R", ",80,R") for line in ROWS])
    splits = cu.read_csv(path, plan=plan, test_path=path)
    assert splits.train.y.tolist() == [-0.5, 0.5, 1, 0, -0.25] and splits.classes is None
    assert splits.plan["label"] == {"name": "age", "kind": "number", "low": 0, "high": 80}


def test_a_range_so_wide_that_numbers_become_equal_is_warned_of(tmp_path):
    rows = ["a,y", *(f"{i},{'no' if i % 2 else 'yes'}" for i in range(10))]
    plan = {
        "of": "table",
        "label": {"name": "y", "kind": "category", "categories": ["no", "yes"]},
        "columns": [{"name": "a", "kind": "number", "low": 0, "high": 1e12}],
    }
    with pytest.warns(UserWarning, match="different numbers of column 'a' .* become equal in float32"):
        cu.read_csv(written(tmp_path, rows), plan=plan)


def test_a_plan_in_words_names_every_column():
    assert cu.datasets.plan_lines({**PLAN, "inferred": ["age"]}) == [
        "bought: the label, one of 3 classes: no, yes, maybe",
        "user: the owner of each row",
        "city: one of 2 categories: Rome, Bonn, or another one, or missing",
        "age: a number from 0 to 80 as [-1, 1], or missing",
        "inferred from the rows, declared by nobody: age",
    ]
    regression = changed("label", {"name": "price", "kind": "number"})
    assert cu.datasets.plan_lines(regression)[0] == "price: the target of regression, as it is"
