"""The user's own arrays: .npz files, and what no array may be."""

import json

import numpy as np
import pytest

import certunl as cu

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10) % 2


def saved(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **{"x": X, "y": Y, **arrays})
    return path


def test_arrays_are_read_as_they_are_and_every_fifth_row_is_for_testing(tmp_path):
    splits = cu.read_npz(saved(tmp_path, owners=np.arange(10) // 2))
    assert splits.train.x.shape == (8, 2) and splits.test.x.shape == (2, 2) and splits.classes == 2
    rows = np.concatenate([splits.train.x, splits.test.x])
    assert sorted(rows.tolist()) == X.tolist() and rows.dtype == np.float32
    for part in (splits.train, splits.test):
        np.testing.assert_array_equal(part.owners, (part.x[:, 0] // 4).astype(int))
        np.testing.assert_array_equal(part.y, part.x[:, 0] // 2 % 2)
        assert part.y.dtype == part.owners.dtype == np.int32
    assert (splits.test.x[:, 0] // 10).tolist() == [0, 1] and splits.owner_names is None
    other = [cu.read_npz(saved(tmp_path), seed=seed).test.x[:, 0].tolist() for seed in range(8)]
    assert len({tuple(x) for x in other}) > 1


def test_a_test_part_of_its_own_is_taken_whole_with_owners_by_name(tmp_path):
    path = saved(
        tmp_path, x_test=X[:3], y_test=Y[:3], owners=[f"u{i % 3}" for i in range(10)], owners_test=["u2", "v", "u0"]
    )
    splits = cu.read_npz(path)
    assert len(splits.train) == 10 and splits.test.x.tolist() == X[:3].tolist()
    assert splits.owner_names == ("u0", "u1", "u2", "v") and splits.test.owners.tolist() == [2, 3, 0]
    assert cu.read_npz(saved(tmp_path, x_test=X[:3], y_test=Y[:3], owners=Y)).test.owners is None


@pytest.mark.parametrize(
    ("labels", "classes", "y"),
    [
        (np.array(["b", "a", "b", "b", "c"]), ["a", "b", "c"], [1, 0, 1, 1, 2]),
        (np.array([b"b", b"a", b"b", b"b", b"c"]), ["a", "b", "c"], [1, 0, 1, 1, 2]),
        (np.array([True, False, True, True, False]), [0, 1], [1, 0, 1, 1, 0]),
        (np.uint64([2, 0, 1, 0, 1]), [0, 1, 2], [2, 0, 1, 0, 1]),
        (np.int8([1, 0, 1, 0, 1]), [0, 1], [1, 0, 1, 0, 1]),
        (np.float16([0.5, 1, 2, 1, 0]), None, [0.5, 1, 2, 1, 0]),
        (np.float32([[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]), None, [[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]),
        (np.int64([[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]), None, [[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]),
    ],
)
def test_labels_are_numbered_in_sorted_order_and_targets_stay(tmp_path, labels, classes, y):
    splits = cu.read_npz(saved(tmp_path, x=X[:5], y=labels, x_test=X[:5], y_test=labels))
    assert splits.train.y.tolist() == y and splits.plan["classes"] == classes
    assert splits.classes == (classes and len(classes))
    assert splits.train.y.dtype == (np.float32 if labels.dtype.kind == "f" else np.int32)


def test_labels_that_get_other_numbers_are_warned_of(tmp_path):
    with pytest.warns(UserWarning, match=r"the labels 1 to 3 of .* are numbered 0 to 2 in sorted order"):
        assert cu.read_npz(saved(tmp_path, y=np.arange(10) % 3 + 1)).train.y.max() == 2
    with pytest.warns(UserWarning, match=r"the labels -1 to 1 of .* are numbered 0 to 1 in sorted order"):
        cu.read_npz(saved(tmp_path, y=2 * Y - 1))


def test_bytes_stay_bytes_with_a_warning_and_are_divided_only_by_a_declared_scale(tmp_path):
    path = saved(tmp_path, x=(X[:, :, None] * 13).astype(np.uint8))
    with pytest.warns(UserWarning, match=r"x of .* holds bytes up to 247, and stays as it is; a scale of 255"):
        plain = cu.read_npz(path)
    assert max(plain.train.x.max(), plain.test.x.max()) == 247 and plain.train.x.dtype == np.float32
    for settings in ({"scale": 255}, {"plan": {"of": "arrays", "scale": 255, "classes": [0, 1]}}):
        scaled = cu.read_npz(path, **settings)
        np.testing.assert_allclose(scaled.train.x, plain.train.x / 255, rtol=1e-7)
    assert scaled.train.unchecked == () and len(plain.train.unchecked) == 1
    assert "classes" in plain.train.unchecked[0]
    assert cu.read_npz(saved(tmp_path, x=np.ones((10, 2), np.uint8))).train.x.max() == 1  # truth values need no scale


def test_a_plan_comes_back_unchanged_and_without_one_the_origin_is_unchecked(tmp_path):
    path = saved(tmp_path)
    first = cu.read_npz(path)
    assert first.plan == {"of": "arrays", "scale": None, "classes": [0, 1], "inferred": ["x", "classes"]}
    assert [word.split(" ")[1] for word in first.train.unchecked] == ["numbers", "classes"]
    (tmp_path / "plan.json").write_text(json.dumps(first.plan))
    again = cu.read_npz(path, plan=tmp_path / "plan.json")
    assert again.plan == first.plan and again.train.unchecked == first.train.unchecked
    silent = cu.read_npz(path, plan={"of": "arrays", "classes": [1, 0, 7]})  # of x, which may be standardised
    assert silent.train.unchecked == first.train.unchecked[:1] and silent.plan["inferred"] == ["x"]
    declared = cu.read_npz(path, plan={"of": "arrays", "scale": None, "classes": [1, 0, 7]})
    assert declared.classes == 3 and declared.train.unchecked == ()
    np.testing.assert_array_equal(declared.train.y, 1 - first.train.y)
    targets = cu.read_npz(path, plan={"of": "arrays", "classes": None})
    assert targets.classes is None and targets.train.y.dtype == np.int32
    assert cu.datasets.plan_lines(first.plan)[:2] == ["x: as it is", "y: one of 2 classes: 0, 1"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scale": 0}, "scale must be a positive number"),
        ({"scale": "255"}, "scale must be a positive number"),
        ({"plan": {"of": "arrays"}}, "lacks the key 'classes'"),
        ({"plan": {"of": "table", "classes": None}}, 'must have "of": "arrays"'),
        ({"plan": {"of": "arrays", "classes": [0]}}, "the classes of the plan must be at least 2 different ones"),
        ({"plan": {"of": "arrays", "classes": 2}}, "the classes of the plan must be a list"),
        ({"plan": {"of": "arrays", "classes": ["a", "b"]}}, "is 0 in row 0; the plan has a, b"),
        ({"plan": {"of": "arrays", "classes": [0, 1], "scale": -1}}, "scale must be a positive number"),
        ({"plan": {"of": "arrays", "classes": [0, 1], "low": 0}}, "unknown key 'low'"),
        ({"plan": {"of": "arrays", "classes": [0, 1], "inferred": ["y"]}}, "some of x, classes"),
        ({"plan": {"of": "arrays", "classes": [0, 1]}, "scale": 2}, "scale has no effect with a plan"),
        ({"seed": "a"}, "seed must be a whole number"),
    ],
)
def test_a_setting_or_plan_that_does_not_fit_is_refused(tmp_path, settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        cu.read_npz(saved(tmp_path), **settings)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": np.array([[1, 2], [3]], object)}, "x of .* holds Python objects"),
        ({"y": np.array(["a", None] * 5, object)}, "y of .* holds Python objects"),
        ({"images": X}, "has the arrays images, x, y; expected are x and y"),
        ({"x_test": X}, "has the arrays x, x_test, y; expected are x and y"),
        ({"owners_test": Y}, "has owners_test, which need x_test and owners"),
        ({"y": Y[:9]}, "must have one row per example, but x has 10, y has 9"),
        ({"owners": Y[:3]}, "must have one row per example, but x has 10, y has 10, owners has 3"),
        ({"x_test": X, "y_test": Y[:2]}, "x_test has 10, y_test has 2"),
        ({"x": 3.0}, "x of .* is a single value"),
        ({"x": X[:4], "y": Y[:4]}, "five rows are needed"),
        ({"x": X[:0], "y": Y[:0].astype(float)}, "no example"),
        ({"x": X.astype(complex)}, "x of .* must hold real numbers, got dtype complex128"),
        ({"x": X.astype(str)}, "x of .* must hold real numbers, got dtype <U"),
        ({"x": X.astype("datetime64[D]")}, r"x of .* must hold real numbers, got dtype datetime64\[D\]"),
        ({"x": X.astype(np.int64) * 2**31}, "whole numbers from 0 to 40802189312, but 32 bits hold at most 2147483647"),
        ({"x": np.where(X == 3, np.nan, X)}, "x of the data holds NaN or infinity in 1 of 10 examples"),
        ({"y": np.where(X[:, 0] == 4, np.inf, X[:, 0])}, "y of the data holds NaN or infinity in 1 of 10 examples"),
        ({"x_test": X * np.nan, "y_test": Y}, "the test part of .*: x of the data holds NaN"),
        ({"x_test": np.ones((10, 3)), "y_test": Y}, "the shape .2,., but of a test example .3,."),
        ({"x_test": X, "y_test": Y.astype(str)}, "holds whole numbers, but y_test text"),
        ({"y": 0 * Y}, "y of .* is 0 in every row; two classes are needed"),
        ({"y": np.array(["a", ""] * 5)}, "y of .* is empty in row 1"),
        ({"y": np.array([b"a", b"\xff"] * 5)}, "bytes that are not UTF-8"),
        ({"owners": X}, r"owners of .* one whole number or text per row, got float32\[10, 2\]"),
        ({"owners": np.array(["a", " "] * 5)}, "owners of .* is empty in row 1"),
    ],
)
def test_arrays_that_make_no_data_set_get_one_sentence(tmp_path, arrays, sentence):
    with pytest.raises(cu.BadInput, match=sentence) as error:
        cu.read_npz(saved(tmp_path, **arrays))
    assert "\n" not in str(error.value)


def test_files_that_are_no_npz_get_one_sentence(tmp_path):
    path = tmp_path / "data.npz"
    for content, sentence in [
        (None, "cannot be read: No such file"),
        (b"", r"is no \.npz file"),
        (b"x,y\n1,2\n", r"is no \.npz file"),
        (saved(tmp_path).read_bytes()[:200], r"is no \.npz file"),
        (saved(tmp_path).read_bytes().replace(X.tobytes()[8:40], bytes(32)), "x of .* is damaged"),
    ]:
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(cu.BadInput, match=sentence):
            cu.read_npz(path)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(cu.BadInput, match="holds a single array"):
        cu.read_npz(tmp_path / "x.npy")


def test_targets_beside_raw_bytes_are_unchecked_too(tmp_path):
    path = tmp_path / "data.npz"
    y = np.arange(10.0)
    np.savez(path, x=np.ones((10, 3), np.uint8), y=(y - y.mean()) / y.std())
    assert any("numbers of x and y" in words for words in cu.read_npz(path).train.unchecked)


def test_a_task_says_whether_whole_numbers_are_classes(tmp_path):
    values = np.array([3, 7, 3, 9, 7, 3, 9, 7, 3, 9])
    with pytest.warns(UserWarning, match="are numbered 0 to 2"):
        classes = cu.read_npz(saved(tmp_path, y=values))
    numbers = cu.read_npz(saved(tmp_path, y=values), task="regression")
    assert classes.classes == 3 and numbers.classes is None
    np.testing.assert_array_equal(numbers.train.y, values[numbers.rows])
    with pytest.raises(cu.BadInput, match=r"float64.*which are no classes"):
        cu.read_npz(saved(tmp_path, y=values / 2), task="classification")
    with pytest.raises(cu.BadInput, match="task has no effect with a plan"):
        cu.read_npz(saved(tmp_path), task="regression", plan={"of": "arrays", "classes": [0, 1]})


def test_classes_in_one_part_and_numbers_in_the_other_are_refused(tmp_path):
    path = saved(tmp_path, x_test=X[:4], y_test=Y[:4].astype(np.float32))
    with pytest.raises(cu.BadInput, match="one holds classes, the other numbers; give both the same kind"):
        cu.read_npz(path)
    assert cu.read_npz(path, task="regression").classes is None
