"""A declared plan of a table, and changes of it."""

import copy

PLAN = {
    "of": "table",
    "label": {"name": "bought", "kind": "category", "categories": ["no", "yes", "maybe"]},
    "owner": "user",
    "columns": [
        {"name": "city", "kind": "category", "categories": ["Rome", "Bonn"], "missing": True, "other": True},
        {"name": "age", "kind": "number", "low": 0, "high": 80, "missing": True},
    ],
    "inferred": [],
}


def changed(path, value):
    """PLAN with another value at a path such as "columns.1.low"; the value `...` removes the key."""
    plan = copy.deepcopy(PLAN)
    place, keys = plan, [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return plan
