"""The plan of a table says what each column means. A plan is ready for JSON, and comes back from it unchanged."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from certunl.datasets._checks import LARGEST
from certunl.errors import BadInput

__all__ = ["Column", "TablePlan", "checked_classes", "checked_inferred", "checked_keys", "plan_dict", "table_plan"]

_KEYS = {
    "number": ("low", "high", "missing"),
    "category": ("categories", "missing", "other"),
    "ignored": (),
}
_OF_LABEL = {"number": ("low", "high"), "category": ("categories",)}


@dataclass(frozen=True)
class Column:
    """The meaning of one column.

    Args:
        name: its name in the header.
        kind: "number", "category" or "ignored".
        low, high: the range of a number, which becomes [-1, 1]. None is for a label alone, which then stays as it is.
        categories: the texts or whole numbers that a category may be, in the order of the features or classes.
        missing: whether cells may be empty, which one more feature says.
        other: whether cells may be other than the categories, which one more feature says.
    """

    name: str
    kind: str
    low: float | None = None
    high: float | None = None
    categories: tuple[str | int, ...] = ()
    missing: bool = False
    other: bool = False

    @property
    def width(self) -> int:
        """The number of features."""
        return {"number": 1, "category": len(self.categories), "ignored": 0}[self.kind] + self.missing + self.other

    def to_json(self, keys: dict[str, tuple[str, ...]] = _KEYS) -> dict[str, Any]:
        facts = {"name": self.name, "kind": self.kind, **{key: getattr(self, key) for key in keys[self.kind]}}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}


@dataclass(frozen=True)
class TablePlan:
    """The meaning of all columns of a table.

    Args:
        label: the column of the classes or targets.
        owner: the name of the column of owners, or None.
        columns: the other columns, in the order of the features.
        inferred: the names of the columns whose meaning was inferred from rows; nobody declared it.
    """

    label: Column
    owner: str | None
    columns: tuple[Column, ...]
    inferred: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "of": "table",
            "label": self.label.to_json(_OF_LABEL),
            "owner": self.owner,
            "columns": [column.to_json() for column in self.columns],
            "inferred": list(self.inferred),
        }


def plan_dict(plan: Any, of: str) -> dict[str, Any]:
    """A plan from itself or from the path of its JSON file. Raises: BadInput unless it is a plan of `of`."""
    title = "the plan"
    if isinstance(plan, str | os.PathLike):
        title = str(plan)
        try:
            plan = json.loads(Path(plan).read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"the plan {title} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise BadInput(f"the plan {title} is no JSON: {error}") from error
    if not isinstance(plan, dict):
        raise BadInput(f"{title} must be a dictionary or the path of a JSON file, got {type(plan).__name__}")
    if plan.get("of") != of:
        raise BadInput(f'{title} must have "of": "{of}" for such data, got {plan.get("of")!r}')
    return plan


def table_plan(plan: Any) -> TablePlan:
    """A plan of a table, checked. Raises: BadInput that names the first wrong part."""
    facts = plan_dict(plan, "table")
    checked_keys(facts, "the plan", ("of", "label", "columns"), ("owner", "inferred"))
    label = _column(facts["label"], "the label of the plan", _OF_LABEL)
    if not isinstance(facts["columns"], Sequence) or isinstance(facts["columns"], str):
        raise BadInput(f"columns of the plan must be a list of columns, got {facts['columns']!r}")
    columns = tuple(_column(c, f"column {i} of the plan", _KEYS) for i, c in enumerate(facts["columns"], start=1))
    owner = facts.get("owner")
    if owner is not None and not (isinstance(owner, str) and owner):
        raise BadInput(f"owner of the plan must be the name of a column or null, got {owner!r}")
    names = [label.name, *([] if owner is None else [owner]), *(column.name for column in columns)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"the plan names the column {twice!r} twice")
    if not any(column.width for column in columns):
        raise BadInput("the plan has no column that is a number or a category")
    return TablePlan(label, owner, columns, checked_inferred(facts, names))


def checked_keys(facts: Any, where: str, needed: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises BadInput unless `facts` is a dictionary of the `needed` keys, and of no others than the `optional`."""
    if not isinstance(facts, dict):
        raise BadInput(f"{where} must be a dictionary, got {facts!r}")
    keys = (*needed, *optional)
    if unknown := next((key for key in facts if key not in keys), None):
        raise BadInput(f"{where} has an unknown key {unknown!r}; known are {', '.join(keys)}")
    if absent := next((key for key in needed if key not in facts), None):
        raise BadInput(f"{where} lacks the key {absent!r}")


def checked_inferred(facts: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """The key "inferred" of a plan. Raises: BadInput unless it lists some of `names`."""
    inferred = facts.get("inferred", ())
    if isinstance(inferred, str) or not isinstance(inferred, Sequence) or any(name not in names for name in inferred):
        raise BadInput(f"inferred of the plan must be a list of some of {', '.join(names)}, got {inferred!r}")
    return tuple(inferred)


def checked_classes(values: Any, where: str, least: int) -> tuple[str | int, ...]:
    """Texts, or whole numbers. Raises: BadInput for fewer than `least`, for repeated ones, and for other values."""
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    numbers = listed and all(isinstance(v, Integral) and not isinstance(v, bool) for v in values)
    texts = listed and all(isinstance(v, str) and v and v == v.strip() for v in values)
    if not (numbers or texts):
        raise BadInput(
            f"{where} must be a list of texts without spaces at their ends, or of whole numbers, got {values!r}"
        )
    if len(set(values)) != len(values) or len(values) < least:
        raise BadInput(f"{where} must be at least {least} different ones, got {list(values)!r}")
    return tuple(v if isinstance(v, str) else int(v) for v in values)


def _column(facts: Any, where: str, kinds: dict[str, tuple[str, ...]]) -> Column:
    checked_keys(facts, where, ("name", "kind"), ("low", "high", "categories", "missing", "other"))
    name, kind = facts["name"], facts["kind"]
    if not (isinstance(name, str) and name and name == name.strip()):
        raise BadInput(f"the name of {where} must be a text without spaces at its ends, got {name!r}")
    where = f"{where}, {name!r}"
    if not isinstance(kind, str) or kind not in kinds:
        raise BadInput(f"the kind of {where} must be one of {', '.join(kinds)}, got {kind!r}")
    checked_keys(facts, f"{where}, a {kind}," if kind != "ignored" else where, ("name", "kind"), kinds[kind])
    for key in ("missing", "other"):
        if not isinstance(facts.get(key, False), bool):
            raise BadInput(f"{key} of {where} must be true or false, got {facts[key]!r}")
    ends, categories = (facts.get("low"), facts.get("high")), ()
    if kind == "category":
        least = 2 if kinds is _OF_LABEL else 1
        categories = checked_classes(facts.get("categories"), f"the categories of {where}", least)
    if kind == "number" and not (kinds is _OF_LABEL and ends == (None, None)) and not _range(*ends):
        raise BadInput(
            f"{where} must have two numbers low < high within {LARGEST:.4g} of 0, got {ends[0]!r} and {ends[1]!r}"
        )
    low, high = (None if end is None else end if isinstance(end, int) else float(end) for end in ends)
    return Column(name, kind, low, high, categories, facts.get("missing", False), facts.get("other", False))


def _range(low: Any, high: Any) -> bool:
    ends = (low, high)
    numbers = all(isinstance(v, Real) and not isinstance(v, bool) and -LARGEST <= v <= LARGEST for v in ends)  # pyright: ignore
    return numbers and float(low) < float(high)
