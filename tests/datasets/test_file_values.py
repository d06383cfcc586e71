"""Whole files with a value in them that their authors could not have written: refused, never read as another."""

import pickle
import re

import numpy as np
import pytest
import scipy.io

import certunl as cu
from tests.datasets.layouts import idx
from tests.datasets.test_original_files import load, written


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("State-gov", "Stategov"), "adult.data, line 1: workclass is 'Stategov'; one of Private"),
        (("209642", "many"), "adult.data, line 2: fnlwgt is 'many'; a number from 0 to"),
        ((" 2174,", " -1,"), "line 1: capital-gain is '-1'; a number from 0 to"),
        ((", >50K", ""), "line 2: 14 fields, but 15 are expected"),
        (("<=50K\n5", "about 50K\n5"), "line 1: income is 'about 50K'"),
        (("39,", "nan,"), "line 1: age is 'nan'; a number from 0 to 150"),
        (("39,", "1e300,"), "line 1: age is '1e300'; a number from 0 to 150"),
        (("39,", "3_9,"), "line 1: age is '3_9'; a number from 0 to 150"),
        ((" 40,", " 1e9,"), "line 1: hours-per-week is '1e9'; a number from 0 to"),
        (("39,", f"{'x' * 200_000},"), "adult.data cannot be read as comma-separated text"),
    ],
)
def test_a_line_that_is_not_the_authors_is_named(tmp_path, change, sentence):
    written("adult", tmp_path / "adult")
    path = tmp_path / "adult" / "adult.data"
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(cu.BadInput, match=re.escape(sentence)):
        load("adult", tmp_path)


def test_sizes_and_labels_that_disagree_are_refused(tmp_path):
    folder = tmp_path / "mnist"
    written("mnist", folder)
    path = folder / "train-labels-idx1-ubyte"
    for array, sentence in (
        (np.zeros(11, np.uint8), "12 images"),
        (np.full(12, 10, np.uint8), "the label of example 0 is 10; labels must be whole numbers from 0 to 9"),
        (np.zeros((12, 1), np.uint8), "no idx file"),
    ):
        path.write_bytes(idx(array))
        with pytest.raises(cu.BadInput, match=sentence):
            load("mnist", tmp_path)
    path.write_bytes(idx(np.zeros(12, np.uint8)) + b"more")
    with pytest.raises(cu.BadInput, match="holds 16 bytes, but its header announces 12"):
        load("mnist", tmp_path)
    written("svhn", tmp_path / "svhn")
    wrong = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[0], [1]])}
    scipy.io.savemat(tmp_path / "svhn" / "train_32x32.mat", wrong)
    with pytest.raises(cu.BadInput, match=r"train_32x32\.mat: the label of example 0 is 0; .* numbers from 1 to 10"):
        load("svhn", tmp_path)


@pytest.mark.parametrize(
    ("file", "value", "sentence"),
    [
        *(("Train/y_train.txt", value, "label of example 0 is .* from 1 to 12") for value in ("0", "13", "1.5", "-3")),
        *(("Train/subject_id_train.txt", value, "from 1 to 30") for value in ("0", "31", "1.5", "1e30")),
        ("Test/y_test.txt", "nan", "no rows of finite numbers"),
    ],
)
def test_activities_and_subjects_are_the_authors_whole_numbers(tmp_path, file, value, sentence):
    written("hapt", tmp_path / "hapt")
    path = tmp_path / "hapt" / file
    path.write_text("\n".join([value, *path.read_text().split()[1:]]))
    with pytest.raises(cu.BadInput, match=f"{path.name}.*{sentence}"):
        load("hapt", tmp_path)


@pytest.mark.parametrize("labels", [[[1], [2], [3], [4]], [0.0, 1.0, 2.0, 3.0], [1], None, [-1, 0, 1, 2]])
def test_a_batch_of_cifar_has_one_whole_label_per_image(tmp_path, labels):
    written("cifar10", tmp_path / "cifar10")
    path = tmp_path / "cifar10/cifar-10-batches-py/data_batch_2"
    path.write_bytes(pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": labels}, protocol=2))
    with pytest.raises(cu.BadInput, match="cifar-10-batches-py"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("labels", [[1.5, 2, 3, 4], [np.nan, 2, 3, 4], [11, 2, 3, 4]])
def test_a_house_number_is_a_digit(tmp_path, labels):
    written("svhn", tmp_path / "svhn")
    content = {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.array(labels)[:, None]}
    scipy.io.savemat(tmp_path / "svhn" / "train_32x32.mat", content)
    with pytest.raises(cu.BadInput, match=r"train_32x32\.mat: the label of example 0"):
        load("svhn", tmp_path)


def test_an_owner_that_is_no_whole_number_of_32_bits_is_refused(tmp_path):
    written("celeba", tmp_path / "celeba")
    path = tmp_path / "celeba" / "identity_CelebA.txt"
    path.write_text(path.read_text().replace("2880", "99999999999"))
    with pytest.raises(cu.BadInput, match=r"identity_CelebA\.txt, line 1: "):
        load("celeba", tmp_path)


def test_settings_of_another_kind_are_refused(tmp_path):
    written("hapt", tmp_path / "hapt")
    for wrong, sentence in (
        ({"train": True}, "got True"),
        ({"transitions": "no"}, "transitions must be True or False"),
    ):
        with pytest.raises(cu.BadInput, match=sentence):
            load("hapt", tmp_path, **wrong)
