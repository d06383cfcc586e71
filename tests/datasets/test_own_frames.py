"""The user's own frames and Arrow and Parquet files, through the same code as CSV."""

import datetime
import decimal
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import certunl as cu
from certunl.datasets import read_table

COLUMNS = {
    "user": ["ann", "bob", "ann", "eve", "bob"],
    "age": [20, 60, None, 40, 30],
    "city": ["Bonn", "Rome", "Rome", None, "Bonn"],
    "member": [True, False, False, True, None],
    "bought": ["no", "yes", "yes", "no", "yes"],
}
CSV = """user,age,city,member,bought
ann,20,Bonn,True,no
bob,60,Rome,False,yes
ann,,Rome,False,yes
eve,40,,True,no
bob,30,Bonn,,yes
"""


def forms(folder):
    """The same table in every form."""
    table = pa.table(COLUMNS)
    pyarrow.parquet.write_table(table, folder / "x.parquet")
    pyarrow.feather.write_feather(table, folder / "x.feather")
    pyarrow.feather.write_feather(table, folder / "x.arrow", compression="uncompressed")
    coded = table.set_column(2, "city", table["city"].dictionary_encode())
    return [COLUMNS, table, coded, *(folder / f"x.{suffix}" for suffix in ("parquet", "feather", "arrow"))]


def test_every_form_of_a_table_gives_what_its_csv_file_gives(tmp_path):
    (tmp_path / "x.csv").write_text(CSV)
    expected = cu.read_csv(tmp_path / "x.csv", label="bought", owner="user")
    for form in forms(tmp_path):
        splits = read_table(form, label="bought", owner="user")
        assert splits.plan == expected.plan and splits.owner_names == expected.owner_names
        for part, other in zip(splits[:2], expected[:2], strict=True):
            for name in ("x", "y", "owners"):
                np.testing.assert_array_equal(getattr(part, name), getattr(other, name))
            assert part.unchecked == other.unchecked


def test_a_pandas_frame_is_a_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    expected = read_table(COLUMNS, label="bought", owner="user")
    frame = pandas.DataFrame(COLUMNS)
    frames = [frame, frame.iloc[::-1].iloc[::-1], frame.astype({"city": "category"}), frame.convert_dtypes()]
    for form in frames:
        splits = read_table(form, label="bought", owner="user", test=form)
        assert splits.plan == {**expected.plan}
    by_user = frame.set_index("user")
    assert read_table(by_user, label="bought", owner="user").owner_names == expected.owner_names
    with pytest.raises(cu.BadInput, match="Duplicate column names"):
        read_table(pandas.concat([frame, frame[["age"]]], axis=1), label="bought")


def test_a_polars_frame_is_a_table():
    polars = pytest.importorskip("polars")
    expected = read_table(COLUMNS, label="bought", owner="user")
    assert read_table(polars.DataFrame(COLUMNS), label="bought", owner="user").plan == expected.plan


def test_text_that_looks_like_numbers_stays_text():
    zips = read_table({"zip": ["0101", "0102"] * 5, "y": ["1", "2"] * 5}, label="y")
    assert zips.plan["columns"][0]["categories"] == ["0101", "0102"]
    assert zips.plan["label"]["categories"] == ["1", "2"]
    words = read_table({"word": ["NA", "inf", "1"] * 4, "y": ["a", "b", "b"] * 4}, label="y").plan["columns"][0]
    assert words["categories"] == ["1", "NA", "inf"] and not words["missing"]


def test_numbers_keep_their_digits_and_nan_is_missing():
    values = [0.1, 1 / 3, float("nan"), 1e-30, 2.5]
    splits = read_table({"a": values, "y": [0.1, 1.5, 2.5, 1 / 3, -1.0]}, label="y", test={"a": [0.1], "y": [1 / 3]})
    assert splits.plan["columns"][0] == {"name": "a", "kind": "number", "low": 1e-30, "high": 2.5, "missing": True}
    assert splits.train.x[2].tolist() == [0, 1] and splits.test.y[0] == np.float32(1 / 3) and splits.classes is None
    with pytest.raises(cu.BadInput, match="row 1: a is 'inf'; a finite number"):
        read_table({"a": [0.1, float("inf"), 1.0, 2.0, 3.0], "y": [0, 1, 0, 1, 0]}, label="y")
    with pytest.raises(cu.BadInput, match=r"beyond 2\^53"):
        read_table({"a": [2**53 + i for i in range(5)], "y": [0, 1, 0, 1, 0]}, label="y")


def test_ignored_columns_are_not_looked_at(tmp_path):
    table = {**COLUMNS, "when": [datetime.date(2020, 1, i + 1) for i in range(5)]}
    first = read_table(table, label="bought", owner="user", ignore=["when"])
    (tmp_path / "plan.json").write_text(json.dumps(first.plan))
    assert read_table(table, plan=tmp_path / "plan.json").plan == first.plan


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"when": [datetime.date(2020, 1, 1)] * 5},
            "column 'when' of the table holds date; numbers, truth values",
        ),
        ({"when": [datetime.datetime(2020, 1, 1)] * 5}, "holds datetime"),
        ({"cost": [decimal.Decimal("1.5")] * 5}, "column 'cost' of the table holds Decimal"),
        ({"tags": [["a"], [], ["b"], ["a"], []]}, "column 'tags' of the table holds list"),
        ({"more": [{"a": 1}] * 5}, "column 'more' of the table holds dict"),
        ({"raw": [b"a"] * 5}, "column 'raw' of the table holds bytes"),
        ({"short": [1, 2]}, "the table is no table with columns of one length"),
        ({"mixed": [1, "a", 2, "b", 3]}, "the table is no table with columns of one length and one kind each"),
        ({"": [1, 2, 3, 4, 5]}, "column 6 of the table has no name"),
        ({"age ": [1, 2, 3, 4, 5]}, "has two columns of the name 'age'"),
        ({"bought": [None, "yes", "no", "no", "no"]}, "the table, row 0: the label bought is missing"),
        ({"user": ["ann", None, "ann", "eve", "bob"]}, "the table, row 1: the owner user is missing"),
    ],
)
def test_columns_that_cannot_be_read_are_named(columns, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        read_table({**COLUMNS, **columns}, label="bought", owner="user")


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ({}, "the table has no columns"),
        ({"a": [], "y": []}, "the table has no rows"),
        ([1, 2], "the table is no table"),
        (np.zeros((3, 2)), "the table is no table"),
        (None, "the table is no table"),
        (7, "the table is no table"),
    ],
)
def test_what_is_no_table_is_refused(frame, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        read_table(frame, label="y")


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    for content in (None, b"", b"user,age\n", b"PAR1" + bytes(20)):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(cu.BadInput, match=f"x.{suffix} cannot be read as {suffix}"):
            read_table(path, label="bought")


def test_without_pyarrow_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(cu.BadInput, match="the table needs pyarrow; pip install pyarrow, or write the table as CSV"):
        read_table(COLUMNS, label="bought")
