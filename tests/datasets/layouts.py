"""Small data sets in their authors' own layouts: `WRITERS[name](folder)` writes all of the files, and gives what is in
them as {"train": (x, y), "test": (x, y)} before any scaling."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import scipy.io
from PIL import Image

RNG = np.random.default_rng(0)


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def pixels(count, *shape):
    return RNG.integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count):
    return np.arange(count, dtype=np.uint8) % 10


def digits(folder, zipped=False):
    parts = {}
    for split, name, count in (("train", "train", 12), ("test", "t10k", 6)):
        images, answers = pixels(count, 28, 28), labels(count)
        for kind, array in (("images-idx3", images), ("labels-idx1", answers)):
            path = folder / f"{name}-{kind}-ubyte"
            content = idx(array)
            path.write_bytes(content)
            if zipped:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
                path.unlink()
        parts[split] = images[..., None], answers
    return parts


def batches():
    return {f"data_batch_{i}": (pixels(4, 3, 32, 32), labels(4)) for i in range(1, 6)} | {
        "test_batch": (pixels(3, 3, 32, 32), labels(3))
    }


def pickled(images, answers):
    content = {b"data": images.reshape(len(images), -1), b"labels": answers.tolist(), b"batch_label": b"a batch"}
    return pickle.dumps(content, protocol=2)


def binary(images, answers):
    return np.concatenate([answers[:, None], images.reshape(len(images), -1)], axis=1).tobytes()


def cifar(folder, form="cifar-10-batches-py/"):
    held = batches()
    end, encode = (".bin", binary) if "bin" in form else ("", pickled)
    contents = {name + end: encode(*batch) for name, batch in held.items()}
    if form.endswith(".tar.gz"):
        with tarfile.open(folder / form, "w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(f"cifar-10-batches/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    else:
        place = folder / form if form.endswith("/") else folder
        place.mkdir(exist_ok=True)
        for name, content in contents.items():
            (place / name).write_bytes(content)
    train = [np.concatenate(arrays) for arrays in zip(*list(held.values())[:5], strict=True)]
    parts = {"train": train, "test": held["test_batch"]}
    return {split: (images.transpose(0, 2, 3, 1), answers) for split, (images, answers) in parts.items()}


def house_numbers(folder):
    parts = {}
    for split, count in (("train", 11), ("test", 5)):
        images, answers = pixels(count, 32, 32, 3), labels(count)
        written = np.where(answers == 0, 10, answers)[:, None]
        scipy.io.savemat(folder / f"{split}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": written})
        parts[split] = images, answers
    return parts


ADULT = """\
39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, United-States, <=50K
52, Self-emp-not-inc, 209642, HS-grad, 9, Married-civ-spouse, Exec-managerial, Husband, White, Male, 0, 0, 45, United-States, >50K
25, ?, 200681, Some-college, 10, Never-married, ?, Own-child, White, Female, 0, 1876, 40, ?, <=50K

"""  # noqa: E501


def census(folder):
    (folder / "adult.data").write_text(ADULT)
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + ADULT.replace("50K\n", "50K.\n"))
    return {split: (None, np.array([0, 1, 0])) for split in ("train", "test")}


OBESITY = """\
Gender,Age,Height,Weight,family_history_with_overweight,FAVC,FCVC,NCP,CAEC,SMOKE,CH2O,SCC,FAF,TUE,CALC,MTRANS,NObeyesdad
Female,21,1.62,64,yes,no,2,3,Sometimes,no,2,no,0,1,no,Public_Transportation,Normal_Weight
Male,27.5,1.8,87,no,no,3,3,Sometimes,no,2,no,2,0,Frequently,Walking,Overweight_Level_I
Male,22,1.78,89.8,no,no,2,1,Frequently,no,2,yes,0,0,Sometimes,Automobile,Overweight_Level_II
Female,55,1.5,111.5,yes,yes,2.5,3,Always,yes,1,no,.5,1.2,Always,Motorbike,Obesity_Type_III
Female,20,1.6,40,no,yes,1,4,no,no,3,no,3,2,no,Bike,Insufficient_Weight
"""


def habits(folder):
    (folder / "ObesityDataSet_raw_and_data_sinthetic.csv").write_text(OBESITY)
    return {"train": (None, np.array([1, 2, 3, 6])), "test": (None, np.array([0]))}


def phones(folder):
    parts = {}
    for split, count, subjects in (("Train", 8, (1, 3)), ("Test", 4, (2, 2))):
        (folder / split).mkdir()
        end = f"_{split.lower()}.txt"
        x, y = RNG.uniform(-1, 1, (count, 561)), np.arange(count) * 2 % 12
        np.savetxt(folder / split / f"X{end}", x, fmt="%.9f")
        np.savetxt(folder / split / f"y{end}", y + 1, fmt="%d")
        np.savetxt(folder / split / f"subject_id{end}", np.resize(subjects, count), fmt="%d")
        parts[split.lower()] = x, y
    return parts


def photograph(path, shade, size=(40, 50)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, shade, 255 - shade)).save(path, quality=95)


def faces(folder):
    place = folder / "lfw"
    for i, (person, count) in enumerate((("Ada_Lovelace", 6), ("Few_Photos", 2), ("Zeno_of_Elea", 10))):
        for j in range(count):
            photograph(place / person / f"{person}_{j + 1:04d}.jpg", 100 * i)
    return {"train": (None, np.repeat([0, 1], (5, 8))), "test": (None, np.repeat([0, 1], (1, 2)))}


def celebrities(folder):
    names = [f"{i:06d}.jpg" for i in range(1, 8)]
    for i, name in enumerate(names):
        photograph(folder / "img_align_celeba" / name, 30 * i, (178, 218))
    rows = [f"{name}  {1 if i % 2 else -1} {-1 if i % 3 else 1}" for i, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["7", "Male Smiling ", *rows]) + "\n")
    parts = [f"{name} {part}" for name, part in zip(names, (0, 0, 0, 0, 1, 2, 2), strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} {2880 + i // 2}\n" for i, name in enumerate(names)))
    return {"train": (None, np.array([0, 1, 0, 1])), "test": (None, np.array([1, 0]))}


WRITERS = {
    "mnist": digits,
    "fashion_mnist": digits,
    "cifar10": cifar,
    "svhn": house_numbers,
    "adult": census,
    "obesity": habits,
    "hapt": phones,
    "lfw": faces,
    "celeba": celebrities,
}
SETTINGS = {"lfw": {"photos": 5, "size": 16}, "celeba": {"size": 16}}
