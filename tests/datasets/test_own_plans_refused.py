"""What no plan may say, and what does not fit one: a sentence each."""

import pytest

import certunl as cu
from tests.datasets.plans import PLAN, changed
from tests.datasets.test_own_csv import ROWS, written


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("of", "arrays", 'must have "of": "table" for such data, got \'arrays\''),
        ("of", ..., "got None"),
        ("rows", 5, "the plan has an unknown key 'rows'; known are of, label, columns, owner, inferred"),
        ("label", ..., "the plan lacks the key 'label'"),
        ("label", "bought", "the label of the plan must be a dictionary, got 'bought'"),
        ("label.kind", "ignored", "the kind of the label of the plan, 'bought' must be one of number, category"),
        ("label.missing", True, "has an unknown key 'missing'; known are name, kind, categories"),
        ("label.categories", ["no"], "must be at least 2 different ones"),
        ("columns", "age", "columns of the plan must be a list of columns"),
        ("columns", [], "the plan has no column that is a number or a category"),
        ("columns.1", 3, "column 2 of the plan must be a dictionary, got 3"),
        ("columns.1.name", "", "the name of column 2 of the plan must be a text"),
        ("columns.1.name", " age", "without spaces at its ends"),
        ("columns.1.name", "city", "the plan names the column 'city' twice"),
        ("columns.1.name", "bought", "the plan names the column 'bought' twice"),
        ("columns.1.kind", "text", "the kind of column 2 of the plan, 'age' must be one of number, category, ignored"),
        ("columns.1.kind", ["number"], "must be one of number, category, ignored"),
        ("columns.1.kind", ..., "column 2 of the plan lacks the key 'kind'"),
        ("columns.1.categories", ["a"], "a number, has an unknown key 'categories'; known are name, kind, low, high"),
        ("columns.1.mean", 0, "column 2 of the plan has an unknown key 'mean'"),
        ("columns.1.low", 80, "must have two numbers low < high"),
        ("columns.1.low", "0", "must have two numbers low < high"),
        ("columns.1.low", None, "must have two numbers low < high"),
        ("columns.1.low", True, "must have two numbers low < high"),
        ("columns.1.high", float("nan"), "must have two numbers low < high"),
        ("columns.1.high", float("inf"), "must have two numbers low < high"),
        ("columns.1.high", 10**400, "must have two numbers low < high"),
        ("columns.1.missing", 1, "missing of column 2 of the plan, 'age' must be true or false, got 1"),
        ("columns.0.other", "yes", "other of column 1 of the plan, 'city' must be true or false, got 'yes'"),
        ("columns.0.categories", "Rome", "must be a list of texts"),
        ("columns.0.categories", ["Rome", 1], "must be a list of texts"),
        ("columns.0.categories", [True, False], "must be a list of texts"),
        ("columns.0.categories", ["Rome", ""], "must be a list of texts without spaces at their ends"),
        ("columns.0.categories", ["Rome", "Rome"], "must be at least 1 different ones"),
        ("columns.0.categories", [], "must be at least 1 different ones"),
        ("columns.0.categories", ..., "must be a list of texts"),
        ("owner", 3, "owner of the plan must be the name of a column or null, got 3"),
        ("owner", "age", "the plan names the column 'age' twice"),
        ("inferred", ["size"], "inferred of the plan must be a list of some of bought, user, city, age"),
        ("inferred", "age", "inferred of the plan must be a list"),
        ("inferred", None, "inferred of the plan must be a list"),
    ],
)  # fmt: skip
def test_a_wrong_part_of_a_plan_is_named_in_one_sentence(tmp_path, path, value, sentence):
    with pytest.raises(cu.BadInput) as error:
        cu.read_csv(written(tmp_path, ROWS), plan=changed(path, value))
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[1]", "must be a dictionary or the path of a JSON file, got list"),
        (b"3", "must be a dictionary or the path of a JSON file, got int"),
    ],
)
def test_a_file_that_is_no_plan_gets_one_sentence(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(cu.BadInput, match=sentence):
        cu.read_csv(written(tmp_path, ROWS), plan=tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("label.name", "sold", "has no column 'sold'; its columns are user, age, city, bought"),
        ("owner", "who", "has no column 'who'"),
        ("owner", None, "the plan lacks the column 'user' of .*; its kind may be ignored"),
        ("columns.1.name", "size", "has no column 'size'"),
        ("columns.0.other", False, "line 6: city is 'Paris'; the plan has Rome, Bonn"),
        ("columns.0.missing", False, 'line 5: city is missing, but the plan does not have "missing": true'),
        ("columns.1.missing", False, "line 4: age is missing, but the plan"),
        ("label.categories", ["no", "never"], "line 3: bought is 'yes'; the plan has no, never"),
        ("label.categories", [0, 1], "line 2: bought is 'no'; the plan has 0, 1"),
        ("label", {"name": "bought", "kind": "number"}, "line 2: bought is 'no'; a finite number"),
        ("columns.1", {"name": "age", "kind": "category", "categories": [20, 30], "missing": True},
         "line 3: age is '60'; the plan has 20, 30"),
        ("columns.0", {"name": "city", "kind": "number", "low": 0, "high": 1, "missing": True},
         "line 2: city is 'Bonn'; a finite number"),
    ],
)  # fmt: skip
def test_a_table_that_a_plan_does_not_fit_is_refused_with_line_and_column(tmp_path, path, value, sentence):
    rows = [*ROWS[:-1], ROWS[-1].replace("Bonn", "Paris")]
    with pytest.raises(cu.BadInput, match=sentence):
        cu.read_csv(written(tmp_path, rows), plan=changed(path, value))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"label": "age"}, "label is 'age', but the plan has 'bought'"),
        ({"owner": "city"}, "owner is 'city', but the plan has 'user'"),
        ({"ignore": ["city"]}, "ignore and task have no effect with a plan"),
        ({"task": "classification"}, "ignore and task have no effect with a plan"),
    ],
)
def test_a_setting_that_contradicts_the_plan_is_refused_and_one_that_repeats_it_is_not(tmp_path, settings, sentence):
    path = written(tmp_path, ROWS)
    with pytest.raises(cu.BadInput, match=sentence):
        cu.read_csv(path, plan=PLAN, **settings)
    assert cu.read_csv(path, plan=PLAN, label="bought", owner="user").plan == PLAN
