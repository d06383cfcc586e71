"""The files as authors publish them are read to the last value, wherever people keep them."""

import numpy as np
import pytest

import certunl as cu
from tests.datasets.layouts import SETTINGS, WRITERS, cifar, digits, photograph

SCALES = {"mnist": (0.0, 1.0), "fashion_mnist": (0.5, 0.5), "cifar10": (0.5, 0.5), "svhn": (0.5, 0.5)}


def written(name, folder, **settings):
    folder.mkdir(parents=True)
    return WRITERS[name](folder, **settings)


def load(name, folder, **settings):
    return cu.datasets.load(name, data_dir=str(folder), **{**SETTINGS.get(name, {}), **settings})


def same_images(data, parts, name):
    mean, std = SCALES[name]
    for split, (images, answers) in parts.items():
        part = getattr(data, split)
        np.testing.assert_allclose(part.x, (images / 255 - mean) / std, atol=1e-5)
        np.testing.assert_array_equal(part.y, answers)
        assert part.x.dtype == np.float32 and part.y.dtype == np.int32 and part.owners is None


@pytest.mark.parametrize("name", SCALES)
def test_images_are_the_authors_bytes_scaled_by_constants(tmp_path, name):
    parts = written(name, tmp_path / name)
    data = load(name, tmp_path)
    same_images(data, parts, name)
    assert data.classes == 10
    limited = load(name, tmp_path, train=3, test=2)
    np.testing.assert_array_equal(limited.train.x, data.train.x[:3])
    with pytest.raises(cu.BadInput, match="train must be a number of examples from 1 to"):
        load(name, tmp_path, train=1000)


@pytest.mark.parametrize("name", WRITERS)
def test_labels_are_the_authors(tmp_path, name):
    parts = written(name, tmp_path / name)
    data = load(name, tmp_path)
    for split, (_, answers) in parts.items():
        part = getattr(data, split)
        assert sorted(part.y.tolist()) == sorted(np.asarray(answers).tolist())
        assert part.y.max() < data.classes and np.isfinite(part.x).all()
        part.check()


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "."])
def test_files_may_be_gzipped_and_lie_where_others_put_them(tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    parts = digits(tmp_path / place, zipped=True)
    same_images(load("mnist", tmp_path), parts, "mnist")


def test_a_folder_called_like_another_set_is_not_taken_for_this_one(tmp_path):
    written("fashion_mnist", tmp_path / "fashion_mnist")
    assert len(load("fashion_mnist", tmp_path / "fashion_mnist").train) == 12
    with pytest.raises(cu.BadInput, match="'mnist' is not in"):
        load("mnist", tmp_path / "fashion_mnist")


@pytest.mark.parametrize(
    "form",
    [
        *("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "cifar-10-batches-py/", "cifar-10-batches-bin/"),
        *("batches", "batches.bin"),
    ],
)
def test_every_form_of_cifar_is_read(tmp_path, form):
    (tmp_path / "cifar10").mkdir()
    parts = cifar(tmp_path / "cifar10", form)
    same_images(load("cifar10", tmp_path), parts, "cifar10")


def test_the_census_is_one_hot_with_unknown_as_a_category_and_scaled_by_units(tmp_path):
    written("adult", tmp_path / "adult")
    data = load("adult", tmp_path)
    assert data.train.x.shape == data.test.x.shape == (3, 108) and data.classes == 2 and data.train.owners is None
    np.testing.assert_array_equal(data.train.x, data.test.x)
    x = data.train.x
    widths = {"age": 1, "workclass": 9, "fnlwgt": 1, "education": 16, "grades": 1, "marriage": 7, "occupation": 15}
    widths |= {"relationship": 6, "race": 5, "sex": 2, "gain": 1, "loss": 1, "hours": 1, "country": 42}
    column = dict(zip(widths, np.split(x, np.cumsum(list(widths.values()))[:-1], axis=1), strict=True))
    for name, width in widths.items():
        if width > 1:
            np.testing.assert_array_equal(column[name].sum(1), 1)
    for name in ("workclass", "occupation", "country"):
        np.testing.assert_array_equal(column[name][:, -1], [0, 0, 1])
    np.testing.assert_allclose(column["age"][:, 0], [0.39, 0.52, 0.25], rtol=1e-6)
    np.testing.assert_allclose(column["gain"][:, 0], [np.log10(2175) / 5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(column["loss"][:, 0], [0, 0, np.log10(1877) / 5], rtol=1e-6)
    np.testing.assert_allclose(column["fnlwgt"][0, 0], np.log10(77517) / 6, rtol=1e-6)
    assert column["education"][0, 0] == column["country"][0, 0] == column["sex"][2, 0] == 1


def test_habits_hold_out_every_fifth_row(tmp_path):
    written("obesity", tmp_path / "obesity")
    data = load("obesity", tmp_path)
    assert data.train.x.shape == (4, 31) and data.test.x.shape == (1, 31) and data.classes == 7
    np.testing.assert_array_equal(data.train.y, [1, 2, 3, 6])
    np.testing.assert_allclose(data.train.x[0, :5], [1, 0, 0.21, 0.81, 0.32], rtol=1e-6)
    np.testing.assert_array_equal(data.train.x[0, -5:], [0, 0, 0, 1, 0])


def test_subjects_own_their_windows(tmp_path):
    parts = written("hapt", tmp_path / "HAPT Data Set")
    data = load("hapt", tmp_path)
    np.testing.assert_allclose(data.train.x, parts["train"][0], atol=1e-6)
    np.testing.assert_array_equal(data.train.owners, [1, 3] * 4)
    np.testing.assert_array_equal(data.test.owners, [2] * 4)
    assert data.classes == 12
    still = load("hapt", tmp_path, transitions=False)
    assert still.classes == 6 and still.train.y.max() < 6 and len(still.train) == (parts["train"][1] < 6).sum()


def test_people_own_their_photographs_and_few_photographs_make_no_class(tmp_path):
    written("lfw", tmp_path / "lfw")
    data = load("lfw", tmp_path)
    assert data.train.x.shape == (13, 16, 16, 3) and data.classes == 2
    np.testing.assert_array_equal(data.train.owners, data.train.y)
    assert "number of photographs" in data.train.unchecked[0]
    shade = (data.train.x[..., 0].mean((1, 2)) + 1) / 2 * 255
    np.testing.assert_allclose(shade, np.where(data.train.y == 0, 0, 200), atol=3)
    with pytest.raises(cu.BadInput, match="fewer than two people with at least 9"):
        load("lfw", tmp_path, photos=9)


def test_celebrities_have_attributes_partitions_and_owners(tmp_path):
    written("celeba", tmp_path / "celeba")
    data = load("celeba", tmp_path)
    np.testing.assert_array_equal(data.train.y, [0, 1, 0, 1])
    np.testing.assert_array_equal(data.train.owners, [2880, 2880, 2881, 2881])
    np.testing.assert_array_equal(load("celeba", tmp_path, label="Smiling").train.y, [1, 0, 0, 1])
    (tmp_path / "celeba" / "identity_CelebA.txt").unlink()
    assert load("celeba", tmp_path).train.owners is None
    with pytest.raises(cu.BadInput, match="no attribute 'Happy'; it has Male, Smiling"):
        load("celeba", tmp_path, label="Happy")


def test_the_middle_square_of_a_photograph_is_kept(tmp_path):
    from certunl.datasets._photographs import photographs

    photograph(tmp_path / "a.png", 10, (20, 40))
    from PIL import Image

    image = Image.open(tmp_path / "a.png")
    image.paste((255, 0, 0), (0, 0, 20, 10))  # above the middle square
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(photographs([tmp_path / "a.png"], 10), np.full((1, 10, 10, 3), (10, 10, 245)))


@pytest.mark.parametrize(("name", "train", "test"), [("fashion_mnist", 60_000, 10_000), ("adult", 32_561, 16_281)])
def test_the_published_files_have_the_published_sizes(original_dir, name, train, test):
    data = cu.datasets.load(name, data_dir=original_dir)
    assert len(data.train) == train and len(data.test) == test
    if name == "adult":
        assert data.train.y.sum() == 7841 and data.train.x.shape == (train, 108)  # 24.08% in the authors' description
    else:
        assert (np.bincount(data.train.y) == 6000).all() and data.train.x.min() == -1 and data.train.x.max() == 1
