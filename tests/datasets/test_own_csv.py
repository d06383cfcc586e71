"""The user's own CSV files: what becomes of each kind of column, and what is refused or warned of."""

import gzip

import numpy as np
import pytest

import certunl as cu

ROWS = [
    "user,age,city,bought",
    "ann,20,Bonn,no",
    "bob,60,Rome,yes",
    "ann,,Rome,yes",
    "eve,40,,no",
    "bob,30,Bonn,yes",
]


def written(folder, lines, name="users.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def table(cells, header="a,b,y"):
    """Lines of a valid table of five rows, in which `cells` replaces the lines of these numbers."""
    lines = [header, "1,x,no", "2,z,yes", "3,x,no", "4,z,yes", "6,x,no"]
    return [cells.get(i, line) for i, line in enumerate(lines, start=1)]


def test_numbers_become_their_range_and_text_one_hot_and_missing_values_say_so(tmp_path):
    splits = cu.read_csv(
        written(tmp_path, ROWS), label="bought", owner="user", test_path=written(tmp_path, ROWS, "t.csv")
    )
    # age in [-1, 1], age is missing, Bonn, Rome, city is missing
    expected = [[-1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [-0.5, 0, 1, 0, 0]]
    np.testing.assert_array_equal(splits.train.x, np.float32(expected))
    np.testing.assert_array_equal(splits.train.x, splits.test.x)
    assert splits.train.x.dtype == np.float32 and splits.train.y.dtype == splits.train.owners.dtype == np.int32
    assert splits.train.y.tolist() == [0, 1, 1, 0, 1] and splits.classes == 2
    assert splits.train.owners.tolist() == [0, 1, 0, 2, 1] and splits.owner_names == ("ann", "bob", "eve")
    assert splits.plan == {
        "of": "table",
        "label": {"name": "bought", "kind": "category", "categories": ["no", "yes"]},
        "owner": "user",
        "columns": [
            {"name": "age", "kind": "number", "low": 20.0, "high": 60.0, "missing": True},
            {"name": "city", "kind": "category", "categories": ["Bonn", "Rome"], "missing": True, "other": False},
        ],
        "inferred": ["age", "city", "bought"],
    }
    assert splits.train.unchecked == splits.test.unchecked and "age, city, bought" in splits.train.unchecked[0]
    assert (np.linalg.norm(splits.train.x, axis=1) <= np.sqrt(2)).all()


def test_one_row_of_each_five_is_for_testing_by_key(tmp_path):
    path = written(tmp_path, ["i,y", *(f"{i * i},{'ab'[i % 2]}" for i in range(103))])
    first, again, other = (cu.read_csv(path, label="y", seed=seed) for seed in (0, 0, 1))
    numbers = np.rint(np.sqrt((first.test.x[:, 0] + 1) / 2) * 102).astype(int)
    assert (numbers // 5).tolist() == list(range(20)) and len(set(numbers % 5)) == 5 and len(first.train) == 83
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert (first.test.x != other.test.x).any()


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (b"\xef\xbb\xbfa,b,y\n1,x,no\n2,z,yes\n3,x,no\n4,z,yes\n6,x,no\n", {}),  # a byte order mark
        (b"a;b;y\r\n1;x;no\r\n2;z;yes\r\n3;x;no\r\n4;z;yes\r\n6;x;no\r\n", {}),
        (b"a\tb\ty\n1\tx\tno\n2\tz\tyes\n3\tx\tno\n4\tz\tyes\n6\tx\tno\n", {}),
        (b"a|b|y\n1|x|no\n2|z|yes\n3|x|no\n4|z|yes\n6|x|no", {}),
        (b"a:b:y\n1:x:no\n2:z:yes\n3:x:no\n4:z:yes\n6:x:no", {"delimiter": ":"}),
        (b'"a", b ,y\n"1",x,no\n 2 ,"z",yes\n3,x,"no"\n\n4,z,yes\n6, x,no\n', {}),
        (gzip.compress(b"a,b,y\n1,x,no\n2,z,yes\n3,x,no\n4,z,yes\n6,x,no\n", mtime=0), {}),
    ],
)
def test_the_same_table_is_read_in_every_dialect(tmp_path, content, settings):
    plain = cu.read_csv(written(tmp_path, table({})), label="y")
    (tmp_path / "other.csv").write_bytes(content)
    other = cu.read_csv(tmp_path / "other.csv", label="y", **settings)
    assert other.plan == plain.plan
    np.testing.assert_array_equal(other.train.x, plain.train.x)
    np.testing.assert_array_equal(other.train.y, plain.train.y)


def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_ends(tmp_path):
    lines = table({2: '1,"x, ""the\nfirst""",no', 4: '3,"x, ""the\nfirst""",no', 6: '6,"x, ""the\nfirst""",no'})
    splits = cu.read_csv(written(tmp_path, lines), label="y")
    assert splits.plan["columns"][1]["categories"] == ['x, "the\nfirst"', "z"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "is empty; a header line and rows are expected"),
        (["", "", ""], "is empty; a header line and rows are expected"),
        (["a,b,y"], "has a header and no rows"),
        (table({1: "a,a,y"}), "has two columns of the name 'a'"),
        (table({1: ",b,y"}), r"column 1 of .* has no name; .*to_csv\(index=False\)"),
        (table({1: "a, ,y"}), "column 2 of .* has no name"),
        (table({1: "a,b"}), "line 2: 3 fields, but the header has 2"),
        (table({4: "3,x"}), "line 4: 2 fields, but the header has 3"),
        (table({5: "4,x,yes,1"}), "line 5: 4 fields, but the header has 3"),
        (table({3: '2,"x"z,yes'}), "line 3: the line cannot be read as CSV"),
        (table({6: '6,"x,no'}), "line 6: the line cannot be read as CSV"),
        (table({4: "3,x,"}), "line 4: the label y is missing"),
        (table({4: "inf,x,no"}), "line 4: a is 'inf'; a finite number"),
        (table({4: "-Infinity,x,no"}), "line 4: a is '-Infinity'; a finite number"),
        (table({4: "1e40,x,no"}), "line 4: a is '1e40'; a finite number within 3.403e"),
        (table({4: "1e999,x,no"}), "line 4: a is '1e999'; a finite number"),
        (table({4: "NA,x,no", 5: "-9007199254740993,z,yes"}), r"column 'a' of .* beyond 2\^53"),
        (table({4: "9007199254740993,x,no"}), r"column 'a' of .* beyond 2\^53.* if they are ids, ignore the column"),
        ([line.replace("yes", "no") for line in table({})], "the label 'y' of .* is 'no' in every row; two classes"),
        ([line.replace("yes", "0.5").replace("no", "0.5") for line in table({})], "is 0.5 in every row"),
        ([line.replace("x", '"1,5"').replace("z", '"2,5"') for line in table({})], "numbers with commas, such as 1,5"),
        (["y", "no", "yes", "no", "yes", "no"], "has no column to learn from"),
        (table({})[:5], "five rows are needed, because every fifth is for testing, but there are 4"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_understood_gets_one_sentence(tmp_path, lines, sentence):
    with pytest.raises(cu.BadInput, match=sentence) as error:
        cu.read_csv(written(tmp_path, lines), label="y")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name,y\ncafé,1\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
        ("a,y\n1,2\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        (b"\x1f\x8b nonsense", "cannot be read"),
        (gzip.compress(b"a,y\n1,2\n" * 100, mtime=0)[:-20], "cannot be read"),
        (b"a,y\n1,\x00\n", "line 2: byte 0x00 is no text"),
    ],
)
def test_bytes_that_are_no_text_get_one_sentence(tmp_path, content, sentence):
    (tmp_path / "users.csv").write_bytes(content)
    with pytest.raises(cu.BadInput, match=sentence):
        cu.read_csv(tmp_path / "users.csv", label="y")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "label must name the column to predict; the columns of .* are user, age, city, bought"),
        ({"label": "sold"}, "label is 'sold', but .* has the columns user, age, city, bought"),
        ({"label": "bought", "owner": "who"}, "owner is 'who', but .* has the columns user"),
        ({"label": "bought", "ignore": ["who"]}, "ignore is 'who', but .* has the columns user"),
        ({"label": "bought", "owner": "bought"}, "label, owner and ignore must name different columns"),
        ({"label": "bought", "owner": "user", "ignore": "user"}, "label, owner and ignore must name different"),
        ({"label": "bought", "task": "ranking"}, "task must be one of classification, regression"),
        ({"label": "bought", "task": "regression"}, "line 2: bought is 'no'; a finite number"),
        ({"label": "bought", "delimiter": ", "}, "delimiter must be one character"),
        ({"label": "bought", "seed": -1}, "seed must be a whole number"),
        ({"label": "bought", "seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_a_setting_that_does_not_fit_the_table_is_refused(tmp_path, settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        cu.read_csv(written(tmp_path, ROWS), **settings)


def test_an_owner_without_a_name_is_refused_with_the_line(tmp_path):
    lines = [line.replace("eve", "") for line in ROWS]
    with pytest.raises(cu.BadInput, match="line 5: the owner user is missing"):
        cu.read_csv(written(tmp_path, lines), label="bought", owner="user")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(cu.BadInput, match=r"no\.csv cannot be read: No such file"):
        cu.read_csv(tmp_path / "no.csv", label="y")
    with pytest.raises(cu.BadInput, match="cannot be read: Is a directory"):
        cu.read_csv(tmp_path, label="y")


@pytest.mark.parametrize(
    ("lines", "sentence", "kinds"),
    [
        ([f"{line},7" if i else f"{line},k" for i, line in enumerate(table({}))],
         "the one value 7 in every row, and is ignored", ["number", "category", "ignored"]),
        ([f"{line},m" if i else f"{line},k" for i, line in enumerate(table({}))],
         "the one value 'm' in every row, and is ignored", ["number", "category", "ignored"]),
        ([f"{line}," if i else f"{line},k" for i, line in enumerate(table({}))],
         "has no value in any row, and is ignored", ["number", "category", "ignored"]),
        ([f"{line},name{i}" if i else f"{line},k" for i, line in enumerate(table({}))],
         "as many categories as rows, so it identifies rows", ["number", "category", "category"]),
        (table({4: "three,x,no"}), "read as categories, because .* line 4 has 'three' among numbers", ["category"] * 2),
        (["a,b,y", *(f"{i},{'pq'[i % 3 == 0]},{'no' if i % 2 else 'yes'}" for i in range(20))],
         "column 'a' of .* counts the rows", ["number", "category"]),
    ],
)  # fmt: skip
def test_a_column_that_is_probably_not_meant_so_is_warned_of(tmp_path, lines, sentence, kinds):
    with pytest.warns(UserWarning, match=sentence) as records:
        splits = cu.read_csv(written(tmp_path, lines), label="y")
    assert [column["kind"] for column in splits.plan["columns"]] == kinds
    assert records[-1].filename == __file__


@pytest.mark.parametrize(("value", "low", "high"), [(7, 0.0, 7.0), (-2, -2.0, 0.0), (0, 0.0, 1.0)])
def test_a_number_that_is_always_the_same_or_missing_keeps_what_it_says(tmp_path, value, low, high):
    lines = table({2: ",x,no", 3: f"{value},z,yes", 4: f"{value},x,no", 5: ",z,yes", 6: f"{value},x,no"})
    splits = cu.read_csv(written(tmp_path, lines), label="y")
    assert splits.plan["columns"][0] == {"name": "a", "kind": "number", "low": low, "high": high, "missing": True}
    there = 1 if value > 0 else -1
    x = np.concatenate([splits.train.x, splits.test.x])
    assert set(map(tuple, x[:, :2].tolist())) == {(0, 1), (there, 0)}


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "nan", "null", "None"])
def test_a_word_for_a_missing_number_is_missing_among_numbers_alone(tmp_path, word):
    splits = cu.read_csv(written(tmp_path, table({4: f"{word},x,no", 5: f"4,{word},yes"})), label="y")
    number, text = splits.plan["columns"]
    assert number == {"name": "a", "kind": "number", "low": 1.0, "high": 6.0, "missing": True}
    assert text["categories"] == sorted({"x", "z"} | ({word} if word else set())) and text["missing"] is (not word)
