"""Files made to mislead: pickles of arrays that are none, archives with two files of a name, names that are paths."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest

import certunl as cu
from tests.datasets.layouts import binary, cifar, labels, pickled, pixels
from tests.datasets.test_original_files import load, written

PIXELS = np.zeros((4, 3072), np.uint8)
KIND = b"cnumpy\ndtype\n(S'O8'\nK\x00K\x01tR(K\x03S'|'\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
"""numpy.dtype of objects, in protocol 0 and 1."""
POINTERS = b"".join(
    (
        *(b"\x80\x02}(U\x04data", b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"),
        *(b"(K\x01K\x01\x85", KIND, b"\x89U\x08AAAAAAAAtb", b"U\x06labels]K\x00au."),
    )
)
FORGED = {
    "bytes taken for pointers": POINTERS,
    "tuples in tuples": b"\x80\x02}K\x00" + b"\x85" * 100_000 + b"K\x00s.",
    "more after its end": pickle.dumps({b"data": PIXELS, b"labels": [0] * 4}, protocol=2) + b"more",
    "a name as text and as bytes": pickle.dumps({b"data": PIXELS, "data": PIXELS, b"labels": [0] * 4}, protocol=3),
    "a list": pickle.dumps([PIXELS], protocol=2),
    "real numbers": pickle.dumps({b"data": PIXELS.astype(float), b"labels": [0] * 4}, protocol=2),
    "labels that are arrays": pickle.dumps({b"data": PIXELS, b"labels": [PIXELS] * 4}, protocol=2),
    "labels that are truths": pickle.dumps({b"data": PIXELS, b"labels": [True] * 4}, protocol=2),
    "a function of NumPy's": pickle.dumps({b"data": np.zeros, b"labels": [0] * 4}, protocol=2),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_batch_is_refused(tmp_path, what):
    written("cifar10", tmp_path / "cifar10")
    path = tmp_path / "cifar10/cifar-10-batches-py/data_batch_2"
    path.write_bytes(FORGED[what])
    with pytest.raises(cu.BadInput) as refusal:
        load("cifar10", tmp_path)
    assert str(path) in str(refusal.value) and len(str(refusal.value)) < 500


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("columns", [False, True])
def test_arrays_of_every_protocol_and_order_are_read(tmp_path, protocol, columns):
    parts = written("cifar10", tmp_path / "cifar10")
    images, answers = parts["train"][0][4:8].transpose(0, 3, 1, 2).reshape(4, -1), parts["train"][1][4:8]
    content = {"data": np.asfortranarray(images) if columns else images, "labels": answers.astype(">i4")}
    (tmp_path / "cifar10/cifar-10-batches-py/data_batch_2").write_bytes(pickle.dumps(content, protocol=protocol))
    data = load("cifar10", tmp_path)
    np.testing.assert_allclose(data.train.x, (parts["train"][0] / 255 - 0.5) / 0.5, atol=1e-5)
    np.testing.assert_array_equal(data.train.y, parts["train"][1])


@pytest.mark.parametrize(("form", "encode"), [("python", pickled), ("binary", binary)])
def test_an_archive_with_two_files_of_a_name_is_refused(tmp_path, form, encode):
    (tmp_path / "cifar10").mkdir()
    path = tmp_path / f"cifar10/cifar-10-{form}.tar.gz"
    cifar(tmp_path / "cifar10", path.name)
    with tarfile.open(path) as tar:
        members = [(m.name, getattr(tar.extractfile(m), "read")()) for m in tar.getmembers()]  # noqa: B009
    other = encode(pixels(4, 3, 32, 32), labels(4))
    with tarfile.open(path, "w:gz") as tar:
        for name, content in [*members, (members[1][0].replace("batches", "other"), other)]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(cu.BadInput, match=r"has 2 files data_batch_2.*, but one is expected"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("form", ["cifar-10-batches-py/", "cifar-10-batches-bin/"])
def test_batches_may_be_gzipped_one_by_one(tmp_path, form):
    (tmp_path / "cifar10").mkdir()
    parts = cifar(tmp_path / "cifar10", form)
    for path in list((tmp_path / "cifar10" / form).iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(load("cifar10", tmp_path).train.y, parts["train"][1])


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        (
            "list_eval_partition.txt",
            ("000002.jpg 0", "../secret.jpg 0"),
            "'../secret.jpg', which is no file name",
        ),
        ("list_eval_partition.txt", ("000002.jpg 0", "/etc/passwd 0"), "'/etc/passwd', which is no file name"),
        ("list_eval_partition.txt", ("000006.jpg 2", "000001.jpg 2"), "'000001.jpg', which it named before"),
        ("identity_CelebA.txt", ("000002.jpg", "000001.jpg"), "'000001.jpg', which it named before"),
        ("list_attr_celeba.txt", ("000002.jpg", "000001.jpg"), "'000001.jpg', which it named before"),
        ("list_attr_celeba.txt", ("Male Smiling", "Male Male"), "no attribute 'Male'"),
    ],
)
def test_names_of_photographs_are_file_names_and_named_once(tmp_path, file, change, sentence):
    written("celeba", tmp_path / "celeba")
    path = tmp_path / "celeba" / file
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(cu.BadInput, match=sentence):
        load("celeba", tmp_path)
