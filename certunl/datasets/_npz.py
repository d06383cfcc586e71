"""The arrays of an .npz file."""

from pathlib import Path
from typing import Any

import numpy as np

from certunl.errors import BadInput

__all__ = ["loaded"]

_NAMES = ("x", "y", "owners", "x_test", "y_test", "owners_test")


def loaded(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name. Objects are never loaded, because that could run code.

    Raises: BadInput for a file of another form, for other names, and for lengths that disagree.
    """
    try:
        with path.open("rb") as opened:
            arrays = _arrays(opened, path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
    for part in ("", "_test"):
        lengths = {name: len(a) for name in _NAMES[:3] if (a := arrays.get(f"{name}{part}")) is not None}
        if len(set(lengths.values())) > 1:
            of = ", ".join(f"{name}{part} has {length}" for name, length in lengths.items())
            raise BadInput(f"the arrays of {path} must have one row per example, but {of}")
    return arrays


def _arrays(opened: Any, path: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(opened, allow_pickle=False)
    except Exception as error:  # NumPy takes another file for a pickle, which it may not load
        raise BadInput(f"{path} is no .npz file; write it with numpy.savez(path, x=x, y=y)") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise BadInput(f"{path} holds a single array; write the file with numpy.savez(path, x=x, y=y)")
    names, arrays = sorted(file.files), {}
    lacking = [name for name in ("x", "y") if name not in names]
    if lacking or not set(names) <= set(_NAMES) or ("x_test" in names) != ("y_test" in names):
        raise BadInput(
            f"{path} has the arrays {', '.join(names) or '(none)'}; expected are x and y, and if wanted owners, "
            "and x_test with y_test"
        )
    if "owners_test" in names and ("owners" not in names or "x_test" not in names):
        raise BadInput(f"{path} has owners_test, which need x_test and owners beside them")
    for name in names:
        try:
            arrays[name] = file[name]
        except Exception as error:  # the readers of zip and of NumPy raise errors of their own
            objects = "Object arrays" in str(error)
            fault = "holds Python objects" if objects else f"is damaged ({type(error).__name__})"
            raise BadInput(f"{name} of {path} {fault}; write it as an array of numbers of one shape") from error
        if arrays[name].ndim == 0:
            raise BadInput(f"{name} of {path} is a single value; one row per example is expected")
    return arrays
