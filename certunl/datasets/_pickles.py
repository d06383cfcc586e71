"""A reader for pickles of plain values and arrays of whole numbers. It never runs code from the file."""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from certunl.errors import BadInput

__all__ = ["read_pickle"]

_KINDS = {f"{sign}{width}" for sign in "iu" for width in (1, 2, 4, 8)}
_PLAIN = (None, None, None, -1, -1, 0)  # no subarray, no names, no fields, default size and alignment, no flags
_MOST_TUPLES = 200  # a file of arrays has about ten; hashing a deep nest of tuples exhausts the interpreter's stack


class _Kind:
    """Stands in for numpy.dtype, whose state could declare the bytes of an array to be pointers."""

    __slots__ = ("code",)

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = _text(code)
        if self.code not in _KINDS:
            raise BadInput(f"it holds numbers of the kind {self.code!r}; whole numbers are expected")

    def __setstate__(self, state: Any) -> None:
        version, order, *rest = state
        if version != 3 or tuple(rest) != _PLAIN or (order := _text(order)) not in ("|", "<", ">", "="):
            raise BadInput("it describes numbers that are not plain whole numbers")
        self.code = order + self.code


class _Numbers:
    """Stands in for numpy.ndarray, and makes an array from its bytes, shape and kind."""

    __slots__ = ("array",)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, content = state
        self.fill(content, kind, shape, "F" if by_columns else "C")

    def fill(self, content: Any, kind: Any, shape: Any, order: Any) -> "_Numbers":
        numbers = np.frombuffer(content, np.dtype(kind.code))
        if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) != len(numbers):
            raise BadInput(f"it holds {len(numbers)} numbers for the shape {shape}")
        self.array = numbers.reshape(shape, order="F" if _text(order) == "F" else "C")
        return self


class _Maker:
    """Stands in for a function. A pickle can call it, but cannot reach any attribute of a function through it."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, *args: Any) -> Any:
        return self.make(*args)


def _text(word: Any) -> Any:
    return word.decode("ascii") if isinstance(word, bytes) else word


_HARMLESS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Numbers,
    ("_codecs", "encode"): lambda text, _: text.encode("latin-1"),
}
for package in ("numpy.core", "numpy._core"):
    _HARMLESS[f"{package}.multiarray", "_reconstruct"] = lambda *_: _Numbers()
    _HARMLESS[f"{package}.numeric", "_frombuffer"] = lambda *parts: _Numbers().fill(*parts)


class _Arrays(pickle.Unpickler):
    """An unpickler that finds the stand-ins for the functions of arrays, and no function or class of any module."""

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in _HARMLESS:
            raise BadInput(f"it wants to run {module}.{name}, which no file of plain arrays does; it was not opened")
        return _Maker(_HARMLESS[module, name])


def read_pickle(content: bytes) -> dict[str, Any]:
    """The pickled dictionary, with NumPy arrays of whole numbers. Its keys are text; strings of Python 2 are bytes.

    Raises: BadInput for any other content, before it is built or run.
    """
    stream, tuples = io.BytesIO(content), 0
    for code, _, _ in pickletools.genops(stream):
        tuples += code.name.startswith("TUPLE")
        if tuples > _MOST_TUPLES:
            raise BadInput("it has more tuples than any file of plain arrays; it was not opened")
    if stream.read(1):
        raise BadInput("there are more bytes after the end of the pickle")
    batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
    if not isinstance(batch, dict):
        raise BadInput(f"it holds a {type(batch).__name__}; a dictionary is expected")
    arrays = {_text(key): value.array if isinstance(value, _Numbers) else value for key, value in batch.items()}
    if len(arrays) != len(batch):  # a name as bytes and as text
        raise BadInput("it holds one name twice")
    return arrays
