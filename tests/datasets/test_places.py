"""Where data sets are looked for: sets with files of the same names, folders that cannot be looked into, two forms."""

from pathlib import Path

import numpy as np
import pytest

import certunl as cu
from certunl.cli import main
from tests.datasets.layouts import WRITERS
from tests.datasets.test_original_files import load, same_images, written


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *(("fashion_mnist", place) for place in ("MNIST/raw", "mnist", "EMNIST/raw", "KMNIST/raw", "QMNIST/raw")),
        *(("mnist", place) for place in ("FashionMNIST/raw", "fashion-mnist", "fashion_mnist", "Fashion MNIST")),
    ],
)
def test_another_set_with_files_of_the_same_names_is_not_taken_for_this_one(tmp_path, name, place):
    written(name, tmp_path / place)
    for folder in (tmp_path / place, tmp_path):
        with pytest.raises(cu.BadInput, match=f"'{name}' is not in"):
            load(name, folder)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mnist", "MNIST/raw"),
        ("mnist", "data"),
        ("fashion_mnist", "fashion-mnist"),
        ("fashion_mnist", "FashionMNIST/raw"),
    ],
)
def test_the_folder_of_the_files_itself_may_be_given(tmp_path, name, place):
    parts = written(name, tmp_path / place)
    same_images(load(name, tmp_path / place), parts, name)


@pytest.mark.parametrize("folder", ["~no_such_user_of_mine/x", "nul\0byte", "x" * 5000, "", 0, 3.5, True])
@pytest.mark.parametrize("name", ["mnist", "adult", "celeba"])
def test_a_folder_that_cannot_be_looked_into_gets_one_sentence(name, folder):
    with pytest.raises(cu.BadInput, match=r"the folder of data sets .* cannot be examined"):
        cu.datasets.load(name, data_dir=folder)


@pytest.mark.parametrize(
    ("call", "sentence"), [("is_file", "cannot be examined"), ("read_bytes", "needs the permission to read it")]
)
def test_a_folder_or_file_that_may_not_be_read_gets_one_sentence(tmp_path, monkeypatch, call, sentence):
    written("adult", tmp_path / "adult")

    def refuses(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, call, refuses)  # root, who may run this, may read everything
    with pytest.raises(cu.BadInput, match=sentence):
        load("adult", tmp_path)


def test_the_authors_files_serve_where_the_prepared_ones_are_damaged(tmp_path):
    (tmp_path / "mnist/3.0.1").mkdir(parents=True)
    (tmp_path / "mnist/3.0.1/dataset_info.json").write_text("{}")
    with pytest.raises(cu.BadInput, match=f"put the authors' own files into {tmp_path}/mnist$"):
        load("mnist", tmp_path)
    parts = WRITERS["mnist"](tmp_path / "mnist")
    same_images(load("mnist", tmp_path), parts, "mnist")


@pytest.mark.parametrize("name", ["mnist", "svhn"])
def test_a_part_without_examples_is_refused(tmp_path, name):
    import scipy.io

    from tests.datasets.layouts import idx

    written(name, tmp_path / name)
    if name == "mnist":
        (tmp_path / "mnist/t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((0, 28, 28), np.uint8)))
        (tmp_path / "mnist/t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(0, np.uint8)))
    else:
        empty = {"X": np.zeros((32, 32, 3, 0), np.uint8), "y": np.zeros((0, 1), np.uint8)}
        scipy.io.savemat(tmp_path / "svhn/test_32x32.mat", empty)
    with pytest.raises(cu.BadInput, match="test"):
        load(name, tmp_path)


@pytest.mark.parametrize("setting", [{"train": True}, {"test": 0}, {"train": 2.0}, {"train_from": True}])
def test_a_number_of_examples_is_a_whole_number(tmp_path, setting):
    written("mnist", tmp_path / "mnist")
    with pytest.raises(cu.BadInput, match="must be"):
        load("mnist", tmp_path, **setting)


def test_a_run_folder_remembers_the_whole_path_of_its_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    written("adult", tmp_path / "x/adult")
    settings = ["--dataset", "adult", "--model", "linear", "--set", "epochs=1", "batch_size=3"]
    main(["train", "r", "--data-dir=~/x", *settings])
    assert f'"{tmp_path}/x"' in (tmp_path / "r/run.json").read_text()
