"""Tables as data sets: CSV, Arrow, Parquet and data frames."""

import os
from collections.abc import Sequence
from typing import Any

from certunl.datasets._encode import encoded
from certunl.datasets._infer import inferred_plan
from certunl.datasets._plan import TablePlan, table_plan
from certunl.datasets._splits import Splits, numbered_owners, split
from certunl.datasets._table import Table, table_of_csv, table_of_frame
from certunl.datasets._words import few
from certunl.errors import BadInput, one_of
from certunl.training.problem import Dataset

__all__ = ["read_csv", "read_table"]

Plan = dict[str, Any] | str | os.PathLike[str] | None


def read_csv(
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    owner: str | None = None,
    plan: Plan = None,
    ignore: Sequence[str] = (),
    task: str | None = None,
    test_path: str | os.PathLike[str] | None = None,
    delimiter: str | None = None,
    seed: int = 0,
) -> Splits:
    """A file of comma-separated values, UTF-8 (gzipped or not) with a header, as a data set.

    A column of numbers becomes one feature, its range as [-1, 1]; a missing number is 0, and one more feature says so.
    Other columns are one-hot; a missing value is a category of its own. So ‖x‖ is at most the root of the number of
    columns, which serves as the `bound` of a `Linear` model. A label of text or whole numbers is a class, and another
    number is a target of regression that stays as it is.

    The ranges, categories and classes come from all rows, unless a plan declares them. `Splits.plan` has what was
    understood. Its key "inferred" lists the columns that nobody declared, and the data name them under `unchecked`, so
    that no certificate is PROVED. Whoever knows the same facts without the rows declares them with
    `{**plan, "inferred": []}`. A number outside a declared range is moved to its nearer end, with a warning. A category
    or class outside a declared list is refused, unless the column has "other": true.

    Args:
        path: the file.
        label: the column to predict. None takes that of the plan.
        owner: the column of the owners' names, which are no features. None takes that of the plan, or there is none.
        plan: a plan of an earlier reading, or the path of its JSON file. None infers the plan from the rows.
        ignore: columns to leave out; only without a plan.
        task: "classification" or "regression". None decides by the label's cells. Only without a plan.
        test_path: a file of test rows with the same columns. None takes every fifth row of `path`, chosen by `seed`.
        delimiter: the character between fields. None takes the one of `, ; tab |` that splits the header most.
        seed: decides which row of each five is a test row.

    Raises: BadInput that names the line and column at fault.
    """
    tables = [table_of_csv(path, delimiter)]
    if test_path is not None:
        tables.append(table_of_csv(test_path, delimiter))
    return _splits(tables, label, owner, plan, ignore, task, seed)


def read_table(
    frame: Any,
    *,
    label: str | None = None,
    owner: str | None = None,
    plan: Plan = None,
    ignore: Sequence[str] = (),
    task: str | None = None,
    test: Any = None,
    seed: int = 0,
) -> Splits:
    """The same of a pandas or Polars frame, an Arrow table, a dictionary of columns, or a .parquet, .arrow or .feather
    file. Columns of text stay text, even where it looks like numbers.

    Args:
        frame: the table.
        label, owner, plan, ignore, task, seed: as in `read_csv`.
        test: a table of test rows with the same columns. None takes every fifth row of `frame`.

    Raises: BadInput without pyarrow, and as in `read_csv`.
    """
    ignored = set(ignore) if plan is None else {c.name for c in table_plan(plan).columns if c.kind == "ignored"}
    tables = []
    for part, words in [(frame, "the table"), *([] if test is None else [(test, "the test table")])]:
        title = os.fspath(part) if isinstance(part, str | os.PathLike) else words
        tables.append(table_of_frame(part, title, ignored))
    return _splits(tables, label, owner, plan, ignore, task, seed)


def _splits(
    tables: list[Table],
    label: str | None,
    owner: str | None,
    plan: Plan,
    ignore: Sequence[str],
    task: str | None,
    seed: int,
) -> Splits:
    one_of(("classification", "regression", None), task=task)
    ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    if plan is None:
        facts = _inferred(tables, label, owner, ignore, task)
    else:
        facts = _declared(plan, label, owner, ignore, task)
    parts = [encoded(table, facts) for table in tables]
    unchecked = ()
    if facts.inferred:
        unchecked = (
            f"the kinds, ranges, categories and classes of {few(facts.inferred)}, which the rows suggested, would "
            "be the same without the forgotten examples",
        )
    numbers, names = None, None
    if facts.owner is not None:
        numbers, names = numbered_owners([name for part in parts for name in part.owners or ()])
    data, start = [], 0
    for part in parts:
        owners = None if numbers is None else numbers[start : start + len(part.y)]
        data.append(Dataset(part.x, part.y, owners, unchecked))
        start += len(part.y)
    train, test, rows = split(data, seed)
    for part, title in zip((train, test), (table.title for table in (tables * 2)[:2]), strict=True):
        try:
            part.check()
        except BadInput as error:
            raise BadInput(f"{title}: {error}") from error
    classes = len(facts.label.categories) or None
    return Splits(train, test, classes, names, facts.to_json(), rows)


def _declared(plan: Any, label: str | None, owner: str | None, ignore: tuple[str, ...], task: str | None) -> TablePlan:
    declared = table_plan(plan)
    if label not in (None, declared.label.name):
        raise BadInput(
            f"label is {label!r}, but the plan has {declared.label.name!r}; leave it out, or change the plan"
        )
    if owner not in (None, declared.owner):
        raise BadInput(f"owner is {owner!r}, but the plan has {declared.owner!r}; leave it out, or change the plan")
    if ignore or task is not None:
        raise BadInput("ignore and task have no effect with a plan; change the kinds of its columns")
    return declared


def _inferred(
    tables: list[Table], label: str | None, owner: str | None, ignore: tuple[str, ...], task: str | None
) -> TablePlan:
    first, names = tables[0], list(tables[0].columns)
    if label is None:
        raise BadInput(f"label must name the column to predict; the columns of {first.title} are {', '.join(names)}")
    for setting, name in (("label", label), ("owner", owner), *(("ignore", name) for name in ignore)):
        if name is not None and name not in names:
            raise BadInput(f"{setting} is {name!r}, but {first.title} has the columns {', '.join(names)}")
    if label == owner or label in ignore or owner in ignore:
        raise BadInput(f"label, owner and ignore must name different columns, got {label!r}, {owner!r} and {ignore!r}")
    for table in tables[1:]:
        if set(table.columns) != set(names):
            odd = sorted(set(table.columns) ^ set(names))
            raise BadInput(f"{first.title} and {table.title} must have the same columns; {odd[0]!r} is in one of them")
    together = first
    if len(tables) > 1:
        columns = {name: [cell for table in tables for cell in table.columns[name]] for name in names}
        lines = None if first.lines is None else [line for table in tables for line in table.lines or ()]
        together = Table(" and ".join(table.title for table in tables), columns, lines, first.texts)
    return inferred_plan(together, label, owner, ignore, task)
