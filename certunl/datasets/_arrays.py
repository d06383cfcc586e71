"""Arrays as data sets, from .npz files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from certunl.datasets._checks import alike, clean, inputs
from certunl.datasets._npz import loaded
from certunl.datasets._plan import checked_classes, checked_inferred, checked_keys, plan_dict
from certunl.datasets._splits import Splits, numbered_owners, split
from certunl.datasets._words import few
from certunl.errors import BadInput, one_of, positive, warn
from certunl.training.problem import Dataset

__all__ = ["read_npz"]


def read_npz(
    path: str | os.PathLike[str],
    *,
    scale: float | None = None,
    plan: dict[str, Any] | str | os.PathLike[str] | None = None,
    task: str | None = None,
    seed: int = 0,
) -> Splits:
    """An .npz file with the arrays `x` and `y`, as `numpy.savez("data.npz", x=x, y=y)` writes it.

    It may also hold `owners`, `x_test`, `y_test` and `owners_test`. Labels of text or of whole numbers, one per row,
    are classes, numbered in sorted order. Other whole numbers and floating-point targets stay as they are.

    No file says how its numbers were scaled. So the data name under `unchecked` that the numbers and the classes do not
    depend on the forgotten rows, unless a plan declares it, such as {"of": "arrays", "scale": 255, "classes": [0, 1]}.
    A plan without "scale" and "inferred" says nothing of `x`. Raw bytes (uint8) with classes need no such word for `x`.

    Args:
        path: the file. Arrays of Python objects are never loaded, because that could run code.
        scale: the constant that divides `x`, such as 255 for images in uint8. None leaves `x` as it is.
        plan: a plan of an earlier reading, or the path of its JSON file. None infers the classes from the labels.
        task: "classification" or "regression". None decides by the labels: text and whole numbers, one per row, are
            classes. Only without a plan.
        seed: without `x_test`, decides which row of each five is a test row.

    Raises: BadInput for other names, other kinds of arrays, and lengths that disagree.
    """
    arrays = loaded(Path(path))
    title, inferred = str(path), ("x", "classes")
    classes: Sequence[str | int] | None = None
    if plan is not None:
        facts = plan_dict(plan, "arrays")
        checked_keys(facts, "the plan", ("of", "classes"), ("scale", "inferred"))
        if scale is not None:
            raise BadInput("scale has no effect with a plan; change the scale of the plan")
        silent = "inferred" not in facts and "scale" not in facts  # it says nothing of x
        scale, inferred = facts.get("scale"), ("x",) if silent else checked_inferred(facts, inferred)
        classes = facts["classes"]
        if classes is not None:
            classes = checked_classes(classes, "the classes of the plan", 2)
    positive("to leave x as it is", scale=scale)
    parts = ["", "_test"] if "x_test" in arrays else [""]
    labels = [arrays[f"y{part}"] for part in parts]
    one_of(("classification", "regression", None), task=task)
    if plan is not None and task is not None:
        raise BadInput("task has no effect with a plan; change the classes of the plan")
    if plan is None:
        classes = None if task == "regression" else _classes(labels, title)
        if classes is None and task == "classification":
            raise BadInput(f"y of {title} is {labels[0].dtype}{list(labels[0].shape)}, which are no classes")
        if any(y.dtype.kind == "f" for y in labels):
            labels = [y.astype(np.result_type(y, np.float32)) for y in labels]
        # targets may have been standardised by all rows, even beside raw bytes
        raw = arrays["x"].dtype == np.uint8 and classes is not None
        inferred = (*(() if raw else ("x",)), *(() if classes is None else ("classes",)))
    words = {
        "x": "the numbers of x and y were made without regard to the forgotten examples",
        "classes": "the classes would be the same without the forgotten examples",
    }
    unchecked = tuple(words[name] for name in inferred)
    numbers, names = _owners([arrays.get(f"owners{part}") for part in parts], title)
    data = []
    for part, y, owners in zip(parts, labels, numbers, strict=True):
        targets = clean(y, f"y{part} of {title}") if classes is None else _numbered(y, classes, f"y{part} of {title}")
        data.append(Dataset(inputs(arrays[f"x{part}"], f"x{part} of {title}", scale), targets, owners, unchecked))
    for i, part in enumerate(data):
        try:
            part.check()
        except BadInput as error:
            raise BadInput(f"the test part of {title}: {error}" if i else f"{title}: {error}") from error
    train, test, rows = split(data, seed)
    alike(train, test, title)
    facts = {"of": "arrays", "scale": scale, "classes": None if classes is None else list(classes)}
    count = None if classes is None else len(classes)
    return Splits(train, test, count, names, {**facts, "inferred": list(inferred)}, rows)


def _classes(labels: Sequence[np.ndarray], title: str) -> list[str | int] | None:
    """The sorted distinct labels, one per row; None for targets."""
    of_classes = [y.ndim == 1 and y.dtype.kind in "biuSU" for y in labels]
    if any(of_classes) and not all(of_classes):
        raise BadInput(
            f"y of {title} is {labels[0].dtype}{list(labels[0].shape)} and y_test {labels[1].dtype}"
            f"{list(labels[1].shape)}: one holds classes, the other numbers; give both the same kind, or task=..."
        )
    if not all(of_classes):
        return None
    distinct: set[Any] = set().union(*(_plain(y, f"y of {title}").tolist() for y in labels))
    if len({isinstance(value, str) for value in distinct}) > 1:
        raise BadInput(f"y of {title} holds whole numbers, but y_test text, or the reverse; one kind is expected")
    values = sorted(distinct)
    if len(values) == 1:
        raise BadInput(f"y of {title} is {values[0]!r} in every row; two classes are needed")
    if not isinstance(values[0], str) and values != list(range(len(values))):
        warn(f"the labels {values[0]} to {values[-1]} of {title} are numbered 0 to {len(values) - 1} in sorted order")
    return values


def _plain(y: np.ndarray, name: str) -> np.ndarray:
    """Labels as text without spaces at its ends, or as whole numbers."""
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"{name} holds bytes that are not UTF-8; write them as text") from error
    if y.dtype.kind == "U":
        y = np.char.strip(y)
        if (y == "").any():
            raise BadInput(f"{name} is empty in row {int((y == '').argmax())}; fill it in, or remove the row")
    return y.astype(np.int64) if y.dtype == bool else y


def _numbered(y: np.ndarray, classes: Sequence[str | int], name: str) -> np.ndarray:
    """The number of each label among `classes`, i32[n]."""
    if y.ndim != 1:
        raise BadInput(f"{name} must have one class per row, got the shape {list(y.shape)}")
    numbers = {value: i for i, value in enumerate(classes)}
    values = _plain(y, name).tolist()
    if (row := next((i for i, value in enumerate(values) if value not in numbers), None)) is not None:
        raise BadInput(f"{name} is {values[row]!r} in row {row}; the plan has {few(classes)}")
    return np.array([numbers[value] for value in values], np.int32)


def _owners(parts: Sequence[np.ndarray | None], title: str) -> tuple[list[np.ndarray | None], tuple[str, ...] | None]:
    """(numbers of the owners of each part, their names by number)."""
    texts: list[list[str]] = []
    for array in parts:
        if array is not None and (array.ndim != 1 or array.dtype.kind not in "iuSU"):
            raise BadInput(
                f"owners of {title} must be one whole number or text per row, got {array.dtype.name}{list(array.shape)}"
            )
        texts.append([] if array is None else [str(v) for v in _plain(array, f"owners of {title}").tolist()])
    together = [name for text in texts for name in text]
    if not together:
        return [None for _ in parts], None
    numbers, names = numbered_owners(together)
    pieces = np.split(numbers, np.cumsum([len(text) for text in texts])[:-1])
    return [None if array is None else piece for array, piece in zip(parts, pieces, strict=True)], names
