"""The user's own data sets, a file, a folder of images, or a function in a module."""

import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from certunl import registry
from certunl.datasets._arrays import read_npz
from certunl.datasets._checks import alike, clean, inputs
from certunl.datasets._files import place
from certunl.datasets._image_folders import read_images
from certunl.datasets._splits import Splits, split
from certunl.datasets._tables import read_csv, read_table
from certunl.errors import BadInput
from certunl.training.problem import Dataset

__all__ = ["FORMS", "is_own", "read_own"]

FORMS = (
    "a file (.npz, .csv, .tsv, .parquet, .arrow or .feather), a folder of images (FOLDER/CLASS/*.png), or "
    "package.module:function"
)
_READERS: dict[str, Callable[..., Splits]] = {
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_table,
    ".arrow": read_table,
    ".feather": read_table,
}


def is_own(name: str, data_dir: str | None) -> bool:
    """Whether `name` has the form of a path or of package.module:function, or is a folder, also in `data_dir`."""
    formed = ":" in name or os.sep in name or _suffix(Path(name)) in _READERS
    return formed or (bool(name) and _path(name, data_dir).exists())


def read_own(name: str, settings: dict[str, Any], function: Any = None) -> Splits:
    """The data set that a path or a function gives. `settings` go to the reader or to the function.

    `function` is that of another package, of which `name` is the name. A relative path is looked for in `data_dir`, if
    that is one of the settings.
    Raises: BadInput for a path without a file, for a suffix that no reader has, and for unknown settings.
    """
    if function is not None or (":" in name and not Path(name).exists()):
        return _called(registry.imported(name) if function is None else function, name, settings)
    path, rest = _path(name, settings.get("data_dir")), {k: value for k, value in settings.items() if k != "data_dir"}
    if path.is_dir():
        reader: Callable[..., Splits] = read_images
    elif (suffix := _suffix(path)) not in _READERS:
        raise BadInput(f"{path} is no data set; expected is {FORMS}")
    elif not path.is_file():
        raise BadInput(f"there is no file {path.absolute()}")
    else:
        reader = _READERS[suffix]
    return registry.fill(partial(reader, path), rest, reader.__name__)


def _path(name: str, data_dir: str | None) -> Path:
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise BadInput(f"the path {name!r} cannot be read: {error}") from error
    return path if data_dir is None else place(data_dir) / path


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _called(function: Any, name: str, settings: dict[str, Any]) -> Splits:
    """The data of a user's function, checked. They are unchecked, because it may have looked at all rows."""
    if not callable(function):
        raise BadInput(f"{name} is {type(function).__name__}; a function that returns a data set is expected")
    try:
        parameters = dict(inspect.signature(function).parameters)
    except ValueError:  # a function of C may have none
        parameters = {}
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if odd := next((key for key in settings if key not in (*parameters, "seed") and not free), None):
        raise BadInput(f"{name} has no setting {odd!r}; it has {', '.join(parameters) or 'none'}")
    seed = settings.get("seed", 0)
    try:
        result = function(**{key: value for key, value in settings.items() if key in parameters or free})
    except BadInput:
        raise
    except Exception as error:
        detail = " ".join(str(error).split()) or "no message"
        raise BadInput(f"the function {name} failed: {type(error).__name__}: {detail}") from error
    return _completed(result, name, seed)


def _completed(result: Any, name: str, seed: int) -> Splits:
    parts = (result,) if isinstance(result, Dataset) else result
    fits = isinstance(parts, tuple) and all(isinstance(part, Dataset) for part in parts[:2])
    if not (fits and (isinstance(parts, Splits) or len(parts) in (1, 2))):
        raise BadInput(
            f"the function {name} must return datasets.Splits, (train, test) of Dataset, or one Dataset, got "
            f"{type(result).__name__}"
        )
    word = f"the function {name} does not scale by, or choose from, the rows"
    checked = []
    for part, title in zip(parts[:2], ("the training part", "the test part"), strict=False):
        x, y = inputs(part.x, f"x of {title} of {name}"), clean(part.y, f"y of {title} of {name}")
        part = replace(part, x=x, y=y, unchecked=tuple(dict.fromkeys((*part.unchecked, word))))
        try:
            part.check()
        except BadInput as error:
            raise BadInput(f"{title} of {name}: {error}") from error
        checked.append(part)
    train, test, rows = split(checked, seed)
    alike(train, test, name)
    if isinstance(result, Splits):
        return result._replace(train=train, test=test)
    labels = np.concatenate([np.asarray(part.y).reshape(len(part), -1) for part in checked])
    if labels.shape[1] != 1 or labels.dtype.kind != "i" or train.y.ndim != 1:
        return Splits(train, test, None, rows=rows)
    if labels.min() < 0:
        raise BadInput(f"the labels of {name} begin at {labels.min()}; classes are numbered from 0")
    return Splits(train, test, int(labels.max()) + 1, rows=rows)
