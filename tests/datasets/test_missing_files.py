"""What a sentence about missing data says works when it is followed to the letter; damaged files are named."""

import gzip
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import certunl as cu
from tests.datasets.layouts import WRITERS, cifar
from tests.datasets.test_original_files import load, written

SENTENCE = re.compile(
    r"put (?P<files>.*), as published by (?P<publisher>.*), into the folder (?P<folder>.*?) \(files may be gzipped"
)


def alternatives(sentence):
    """(the folder to put files into, each list of files the sentence offers)."""
    said = SENTENCE.search(sentence)
    return Path(said["folder"]), [re.split(r", | and ", form) for form in said["files"].split(", or ")]


@pytest.mark.parametrize("name", WRITERS)
def test_putting_the_files_where_the_sentence_says_works(tmp_path, name, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(cu.BadInput, match=f"'{name}' is not in {tmp_path}/data") as missing:
        cu.datasets.load(name)
    assert not (tmp_path / "data").exists()
    folder, forms = alternatives(str(missing.value))
    for form in forms:
        (tmp_path / "made").mkdir()
        settings = {"form": form[0]} if name == "cifar10" else {}
        WRITERS[name](tmp_path / "made", **settings)
        if name == "lfw" and form != ["lfw/"]:
            (tmp_path / "made/lfw").rename(tmp_path / "made" / form[0])
        for file in form:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "made" / file).rename(folder / file)
        assert len(load(name, tmp_path / "data").train) > 0
        for place in (tmp_path / "made", folder):  # out of the way of the next form
            place.rename(tmp_path / f"{place.name}-{len(list(tmp_path.iterdir()))}")


@pytest.mark.parametrize("name", ["mnist", "adult", "hapt", "celeba"])
def test_half_of_the_files_are_told_from_none(tmp_path, name):
    written(name, tmp_path / name)
    gone = {"mnist": "t10k-labels-idx1-ubyte", "adult": "adult.test", "hapt": "Test/y_test.txt"}
    missing = gone.get(name, "list_attr_celeba.txt")
    (tmp_path / name / missing).unlink()
    with pytest.raises(cu.BadInput, match=f"holds .* but not {missing}"):
        load(name, tmp_path)


FILES = {
    "mnist": "train-images-idx3-ubyte",
    "fashion_mnist": "t10k-labels-idx1-ubyte",
    "cifar10": "cifar-10-batches-py/data_batch_3",
    "svhn": "test_32x32.mat",
    "adult": "adult.data",
    "obesity": "ObesityDataSet_raw_and_data_sinthetic.csv",
    "hapt": "Train/X_train.txt",
    "lfw": "lfw/Ada_Lovelace/Ada_Lovelace_0002.jpg",
    "celeba": "list_attr_celeba.txt",
}
DAMAGE = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) * 2 // 3],
    "foreign": lambda content: b"<!doctype html><html><body>404, no such file</body></html>\n" * 20,
    "gzipped and truncated": lambda content: gzip.compress(content)[:-9],
    "random": lambda content: np.random.default_rng(1).bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_gets_one_sentence_that_names_it(tmp_path, name, damage):
    written(name, tmp_path / name)
    path = tmp_path / name / FILES[name]
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(cu.BadInput) as refusal:
        load(name, tmp_path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value) and len(str(refusal.value)) < 700


@pytest.mark.parametrize("form", ["cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "cifar-10-batches-bin/"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "foreign"])
def test_a_damaged_archive_gets_one_sentence_that_names_it(tmp_path, form, damage):
    (tmp_path / "cifar10").mkdir()
    cifar(tmp_path / "cifar10", form)
    path = tmp_path / "cifar10" / (form + ("data_batch_2.bin" if form.endswith("/") else ""))
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(cu.BadInput, match=re.escape(str(path))):
        load("cifar10", tmp_path)


class Wants:
    """Pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


HARMFUL = {
    "os.system": Wants(__import__("os").system, ("touch ran",)),
    "builtins.eval": Wants(eval, ("open('ran', 'w')",)),
    "numpy.load": Wants(np.load, ("ran", None, True)),
    "numpy.f2py": Wants(__import__("importlib").import_module, ("numpy.f2py",)),
}


@pytest.mark.parametrize("what", HARMFUL)
@pytest.mark.parametrize("form", ["cifar-10-python.tar.gz", "cifar-10-batches-py/"])
def test_a_pickle_that_wants_to_run_code_is_refused_before_it_runs(tmp_path, monkeypatch, what, form):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").mkdir()
    monkeypatch.setattr("tests.datasets.layouts.pickled", lambda *_: pickle.dumps({b"data": HARMFUL[what]}, protocol=2))
    cifar(tmp_path / "cifar10", form)
    with pytest.raises(cu.BadInput, match=r"data_batch_1 is refused: it wants to run .*; it was not opened"):
        load("cifar10", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_damaged_tfds_folder_is_named(tmp_path):
    (tmp_path / "mnist/3.0.1").mkdir(parents=True)
    (tmp_path / "mnist/3.0.1/dataset_info.json").write_text("{}")
    with pytest.raises(cu.BadInput, match="mnist cannot be read as a data set prepared by tensorflow-datasets"):
        load("mnist", tmp_path)
