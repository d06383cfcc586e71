"""The request that a text describes."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from certunl.base import Key
from certunl.errors import BadInput
from certunl.requests.choosing import by_class, by_owner, hardest, influential, mislabelled, near_duplicates, random
from certunl.training.run import Run

__all__ = ["inline", "listed", "parse"]


def parse(
    text: str,
    key: Key,
    run: Run,
    planted: Any = (),
    owner_names: Mapping[str, int] | None = None,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """The request that `text` describes, i32[k]. Each form calls the function of its name in `requests`.

    The forms are random:SIZE, class:LABEL[:SIZE], owner:OWNER[,OWNER...], owner:@FILE, hardest:SIZE, influential:SIZE,
    near_duplicates:SIZE, mislabelled[:SIZE], ids:ID[,ID...], ids:@FILE, rows:ROW[,ROW...] and rows:@FILE.

    An id is the number of a training example. A row is one of the user's own file, from 0 and without the header. SIZE
    is a number of examples; without it, all. A file has one or more entries in each line, with commas between them; a
    line that begins with # is a comment.
    An entry with a comma stands between double quotes.

    Args:
        text: the words.
        key: the randomness of the forms that draw examples.
        run: the run before the request.
        planted: the ids of examples with replaced labels, for mislabelled.
        owner_names: the number of each owner by name. Default: owners are named by their numbers.
        rows: i32[n], the row of the user's file that each training example comes from (`Splits.rows`). Default: there
            is no such file.

    Raises: BadInput for text of another form, for files that cannot be read, for entries that are not there, and for
    requests that the function refuses.
    """
    kind, _, rest = text.partition(":")
    if kind == "owner" and rest:
        return by_owner(run, _owners(_entries(rest), owner_names, run))
    if kind == "ids" and rest.startswith("@"):
        return run.check([_number(entry, where, "an id") for entry, where in _entries(rest)])
    if kind == "rows" and rest:
        return run.check(_ids([_number(entry, where, "a row") for entry, where in _entries(rest)], rows))
    try:
        numbers = [int(word) for word in rest.replace(":", ",").split(",") if word]
    except ValueError:
        numbers = []
    match kind, numbers:
        case "random", [size]:
            return random(key, run, size)
        case "class", [label, *size] if len(size) <= 1:
            return by_class(key, run, label, *size)
        case "hardest", [size]:
            return hardest(run, size)
        case "influential", [size]:
            return influential(run, size)
        case "near_duplicates", [size]:
            return near_duplicates(run, size)
        case "mislabelled", [*size] if len(size) == bool(rest):
            return mislabelled(key, run, planted, *size)
        case "ids", [_, *_]:
            return run.check(numbers)
    raise BadInput(
        "a request must be random:SIZE, class:LABEL[:SIZE], owner:OWNER,..., owner:@FILE, hardest:SIZE, "
        "influential:SIZE, near_duplicates:SIZE, mislabelled[:SIZE], ids:ID,..., ids:@FILE, rows:ROW,... or "
        f"rows:@FILE; got {text!r}"
    )


def inline(text: str) -> str:
    """`text` with the entries of its file in the place of @FILE, so that it means the same whatever becomes of the
    file. Raises: BadInput if the file cannot be read."""
    kind, _, rest = text.partition(":")
    if kind not in ("ids", "owner", "rows") or not rest.startswith("@"):
        return text
    return f"{kind}:{listed(entry for entry, _ in _entries(rest))}"


def listed(entries: Iterable[Any]) -> str:
    """Entries as a list in words, in quotes where they would be read as something else, such as @FILE."""

    def word(entry: Any) -> str:
        text = str(entry)
        plain = text and text.strip() == text and not text.startswith("@") and not {*',"\r\n'} & {*text}
        return text if plain else '"' + text.replace('"', '""') + '"'

    return ",".join(map(word, entries))


def _entries(rest: str) -> list[tuple[str, str]]:
    """(entry, its place in words) of each entry of a list, or of the file whose name follows an @."""
    lines = _lines(rest[1:]) if rest.startswith("@") else {"the request": rest}
    entries = []
    for where, line in lines.items():
        try:
            fields = next(csv.reader([line], skipinitialspace=True, strict=True), [])
        except csv.Error as error:
            raise BadInput(f"{where} has wrong quotes ({error}), got {line!r}") from error
        entries += [(field.strip(), where) for field in fields if field.strip()]
    if not entries:
        raise BadInput(f"{next(iter(lines), rest)} names nothing; give at least one entry")
    return entries


def _lines(name: str) -> dict[str, str]:
    """The lines of a file by their places in words, without comments."""
    path = Path(name).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the file {name} of the request cannot be read ({type(error).__name__}: {error})") from error
    numbered = {f"line {i} of {name}": line for i, line in enumerate(lines, start=1)}
    entries = {where: line for where, line in numbered.items() if not line.lstrip().startswith("#")}
    if not any(line.strip() for line in entries.values()):
        raise BadInput(f"the file {name} of the request names nothing; give at least one entry")
    return entries


def _number(entry: str, where: str, what: str) -> int:
    try:
        return int(entry)
    except ValueError:
        raise BadInput(f"{where}: {what} must be a whole number, got {entry!r}") from None


def _ids(numbers: list[int], rows: np.ndarray | None) -> np.ndarray:
    """The ids of the training examples that come from the rows `numbers`. Raises: BadInput for a row that is none."""
    if rows is None:
        raise BadInput("these data are no file of yours, so they have no rows; name examples by ids:ID,...")
    if absent := [row for row in numbers if row not in rows]:
        raise BadInput(
            f"row {absent[0]} is no training example: it is a test row, or not in the file (rows count from 0, without "
            "the header); nothing was chosen"
        )
    return np.flatnonzero(np.isin(rows, numbers))


def _owners(entries: list[tuple[str, str]], names: Mapping[str, int] | None, run: Run) -> list[int]:
    """The numbers of the owners. Raises: BadInput that lists all entries that name no owner to forget."""
    if names is None:
        if wrong := [entry[:20] for entry, _ in entries if not entry.isdecimal() or len(entry) > 18]:
            raise BadInput(f"owners of these data are whole numbers, got {', '.join(map(repr, wrong[:20]))}")
        return [int(entry) for entry, _ in entries]
    if absent := [entry for entry, _ in entries if entry not in names]:
        more = f" and {len(absent) - 20} more" if len(absent) > 20 else ""
        listed = ", ".join(map(repr, absent[:20]))
        raise BadInput(f"these data have no owner of the name {listed}{more}; nothing was chosen")
    if run.problem.data.owners is not None:
        owners = np.asarray(run.problem.data.owners)
        trained, present = set(owners.tolist()), set(owners[np.asarray(run.present)].tolist())
        for here, why in ((trained, "has test rows only, which no training saw"), (present, "is already forgotten")):
            if lost := [entry for entry, _ in entries if names[entry] not in here]:
                raise BadInput(f"owner {lost[0]!r} {why}; leave that owner out, nothing was chosen")
    return [names[entry] for entry, _ in entries]
