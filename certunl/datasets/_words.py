"""A plan in words, for the command line and reports."""

from collections.abc import Sequence
from typing import Any

__all__ = ["few", "plan_lines"]


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """What a reader understood, one line for each column or fact of `Splits.plan`.

    Args:
        plan: the plan of a table, of arrays or of images.

    >>> column = {"name": "age", "kind": "number", "low": 0, "high": 99, "missing": True}
    >>> label = {"name": "bought", "kind": "category", "categories": ["no", "yes"]}
    >>> table = {"of": "table", "label": label, "owner": "user", "columns": [column], "inferred": ["age"]}
    >>> print("\\n".join(plan_lines(table)))
    bought: the label, one of 2 classes: no, yes
    user: the owner of each row
    age: a number from 0 to 99 as [-1, 1], or missing
    inferred from the rows, declared by nobody: age
    """
    lines = []
    if plan["of"] == "table":
        lines.append(_label(plan["label"]))
        if plan.get("owner") is not None:
            lines.append(f"{plan['owner']}: the owner of each row")
        lines += [_column(column) for column in plan["columns"]]
    elif plan["of"] == "arrays":
        lines.append("x: as it is" if plan.get("scale") is None else f"x: divided by {plan['scale']:g}")
        classes = plan["classes"]
        lines.append("y: as it is" if classes is None else f"y: one of {len(classes)} classes: {few(classes)}")
    else:
        height, width, channels = plan["shape"]
        how = ", cropped and resized" if plan.get("resized") else ""
        lines.append(f"x: images of {height} x {width} x {channels} in [0, 1]{how}")
        lines.append(f"y: one of {len(plan['classes'])} classes: {few(plan['classes'])}")
    if inferred := plan.get("inferred"):
        lines.append(f"inferred from the rows, declared by nobody: {', '.join(inferred)}")
    return lines


def _label(label: dict[str, Any]) -> str:
    if label["kind"] == "category":
        return f"{label['name']}: the label, one of {len(label['categories'])} classes: {few(label['categories'])}"
    return f"{label['name']}: the target of regression, {_range(label)}"


def _column(column: dict[str, Any]) -> str:
    if column["kind"] == "ignored":
        return f"{column['name']}: ignored"
    text = f"a number {_range(column)}"
    if column["kind"] == "category":
        text = f"one of {len(column['categories'])} categories: {few(column['categories'])}"
    extra = ("or another one", column.get("other")), ("or missing", column.get("missing"))
    return ", ".join([f"{column['name']}: {text}", *(words for words, there in extra if there)])


def _range(column: dict[str, Any]) -> str:
    low, high = column.get("low"), column.get("high")
    return "as it is" if low is None or high is None else f"from {low:g} to {high:g} as [-1, 1]"


def few(names: Sequence[Any]) -> str:
    """The first ten names."""
    return ", ".join(map(str, names[:10])) + (" ..." if len(names) > 10 else "")
