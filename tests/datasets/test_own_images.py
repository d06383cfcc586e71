"""The user's own folders of images."""

import json

import numpy as np
import pytest
from PIL import Image

import certunl as cu
from certunl.datasets import read_images

PLAN = {"of": "images", "classes": ["cat", "dog"], "shape": [4, 6, 1]}


def drawn(folder, count=10, classes=("cat", "dog"), shape=(4, 6), name="{}.png"):
    """`count` random images in folders of their classes, as {(class, number): u8[h, w, ...]}."""
    rng = np.random.default_rng(0)
    pixels = {}
    for i in range(count):
        kind = classes[i % len(classes)]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        pixels[kind, i] = rng.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels[kind, i]).save(folder / kind / name.format(i))
    return pixels


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_images_are_their_pixels_divided_by_255_with_classes_in_sorted_order(tmp_path, shape):
    pixels = drawn(tmp_path / "train", classes=("dog", "cat", "ape"), shape=shape)
    drawn(tmp_path / "test", count=3, classes=("dog", "cat", "ape"), shape=shape)
    (tmp_path / "train/dog/.hidden.png").write_bytes(b"")
    (tmp_path / "train/dog/notes.txt").write_text("about dogs")
    splits = read_images(tmp_path)
    assert splits.classes == 3 and len(splits.test) == 3 and splits.train.x.dtype == np.float32
    expected = [pixels[key] for key in sorted(pixels)]
    np.testing.assert_array_equal(splits.train.x, np.stack(expected).reshape(10, 4, 6, -1).astype(np.float32) / 255)
    assert splits.train.y.tolist() == [0] * 3 + [1] * 3 + [2] * 4
    channels = 1 if len(shape) == 2 else 3
    assert splits.plan == {
        "of": "images", "classes": ["ape", "cat", "dog"], "shape": [4, 6, channels], "resized": False,
        "inferred": ["classes", "shape"],
    }  # fmt: skip
    assert splits.train.unchecked == (
        "the classes and shape of the images would be the same without the forgotten examples",
    )


def test_every_fifth_image_is_for_testing_without_a_test_folder(tmp_path):
    drawn(tmp_path)
    for folder in (tmp_path, str(tmp_path)):
        splits = read_images(folder)
        assert len(splits.train) == 8 and len(splits.test) == 2
    assert any((read_images(tmp_path, seed=s).test.x != splits.test.x).any() for s in range(1, 5))


def test_a_declared_plan_leaves_nothing_unchecked_and_comes_back_unchanged(tmp_path):
    drawn(tmp_path / "set")
    first = read_images(tmp_path / "set", size=8)
    assert first.train.x.shape == (8, 8, 8, 1) and first.plan["resized"]
    (tmp_path / "plan.json").write_text(json.dumps(first.plan))
    again = read_images(tmp_path / "set", plan=tmp_path / "plan.json")
    assert again.plan == first.plan and again.train.unchecked == first.train.unchecked
    np.testing.assert_array_equal(again.train.x, first.train.x)
    declared = read_images(
        tmp_path / "set", plan={"of": "images", "classes": ["dog", "cow", "cat"], "shape": [4, 6, 3]}
    )
    assert declared.train.unchecked == () and declared.classes == 3 and declared.train.x.shape == (8, 4, 6, 3)
    assert set(declared.train.y.tolist()) == {0, 2}
    assert cu.datasets.plan_lines(first.plan)[0] == "x: images of 8 x 8 x 1 in [0, 1], cropped and resized"


def test_resizing_takes_the_middle_square(tmp_path):
    for i in range(5):
        image = np.zeros((8, 24), np.uint8)
        image[:, 8:16] = 200
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    np.testing.assert_array_equal(read_images(tmp_path, size=8).train.x, np.float32(200) / 255)


def test_gray_and_coloured_images_together_are_coloured(tmp_path):
    pixels = drawn(tmp_path)
    Image.fromarray(pixels["cat", 0]).convert("RGBA").save(tmp_path / "cat/0.png")
    Image.fromarray(pixels["cat", 2]).convert("P").save(tmp_path / "cat/2.png")
    splits = read_images(tmp_path)
    assert splits.train.x.shape[1:] == (4, 6, 3)
    assert (splits.train.x[..., 0] == splits.train.x[..., 2]).all()


def spoiled(folder, how):
    drawn(folder)
    if how == "sizes":
        Image.new("L", (5, 5)).save(folder / "dog/9.png")
    elif how == "text":
        (folder / "dog/3.png").write_text("no image")
    elif how == "truncated":
        (folder / "dog/3.png").write_bytes((folder / "dog/3.png").read_bytes()[:50])
    elif how == "empty":
        (folder / "emu").mkdir()
    elif how == "loose":
        Image.new("L", (6, 4)).save(folder / "9.png")
    elif how == "one":
        for path in (folder / "dog").iterdir():
            path.rename(folder / "cat" / path.name)
        (folder / "dog").rmdir()
    elif how == "sixteen":
        Image.fromarray(np.zeros((4, 6), np.uint16)).save(folder / "cat/0.png")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("sizes", r"dog/9\.png has 5 x 5 pixels, but .*cat/0\.png has 6 x 4; size=32 crops and resizes all"),
        ("text", r"dog/3\.png cannot be read as an image"),
        ("truncated", r"dog/3\.png cannot be read as an image"),
        ("empty", "emu holds no image; known are"),
        ("loose", r"9\.png lies in no folder of a class; move it to .*/CLASS/9\.png"),
        ("one", "has the one class 'cat'; two folders of classes are needed"),
        ("sixteen", r"cat/0\.png has pixels of more than 8 bits"),
    ],
)
def test_a_folder_that_makes_no_data_set_gets_one_sentence(tmp_path, how, sentence):
    spoiled(tmp_path, how)
    with pytest.raises(cu.BadInput, match=sentence):
        read_images(tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 3}, "size must be the side of the images"),
        ({"size": "32"}, "size must be the side of the images"),
        ({"size": 8, "plan": {**PLAN}}, "size has no effect"),
        ({"plan": {"of": "images", "classes": ["cat", "dog"]}}, "lacks the key 'shape'"),
        ({"plan": {**PLAN, "classes": ["cat", "cow"]}}, "dog/.* is of a class that the plan lacks"),
        ({"plan": {**PLAN, "classes": [0, 1]}}, "the classes of the plan must be names of folders"),
        ({"plan": {**PLAN, "shape": [4, 6]}}, "must be .height, width, 1 or 3., got"),
        ({"plan": {**PLAN, "shape": [4, 6, 4]}}, "must be .height, width, 1 or 3., got"),
        ({"plan": {**PLAN, "shape": [6, 4, 1]}}, "has 6 x 4 pixels; 4 x 6 are expected"),
        ({"plan": {**PLAN, "resized": True}}, "only for squares"),
        ({"plan": {**PLAN, "inferred": ["size"]}}, "some of classes, shape"),
        ({"plan": {**PLAN, "of": "table"}}, 'must have "of": "images"'),
    ],
)  # fmt: skip
def test_a_setting_or_plan_that_does_not_fit_is_refused(tmp_path, settings, sentence):
    drawn(tmp_path)
    with pytest.raises(cu.BadInput, match=sentence):
        read_images(tmp_path, **settings)


def test_a_folder_without_images_or_that_is_not_there_gets_one_sentence(tmp_path):
    with pytest.raises(cu.BadInput, match=r"has no folder of a class; images are expected as .*/CLASS/\*\.png"):
        read_images(tmp_path)
    with pytest.raises(cu.BadInput, match="nowhere cannot be read: No such file"):
        read_images(tmp_path / "nowhere")
    with pytest.raises(cu.BadInput, match="five rows are needed"):
        drawn(tmp_path, count=4)
        read_images(tmp_path)
