"""A fence `{room} certunl.x` in a page: the contract of a package, then every public file in it, as docstrings say.

A file that is added to a room stands on its page by being there.
"""

import importlib
import pkgutil
import re
from typing import Any

__all__ = ["expanded", "modules", "setup"]

FENCE = re.compile(r"^```\{room\} (\S+)\n```$", re.MULTILINE)


def modules(room: str) -> list[str]:
    """The modules of a room that hold something public: files without an underscore, and those its `__init__` shows."""
    package = importlib.import_module(room)
    shown = {getattr(getattr(package, name), "__module__", "") for name in getattr(package, "__all__", ())}
    paths = getattr(package, "__path__", None)
    files = [] if paths is None else [m for m in pkgutil.iter_modules(paths, f"{room}.") if not m.ispkg]
    return [m.name for m in files if "._" not in m.name or m.name in shown]


def expanded(page: str) -> str:
    """The text of a page with its rooms written out."""
    return FENCE.sub(lambda fence: _written_out(fence[1]), page)


def _written_out(room: str) -> str:
    files = modules(room)
    package = importlib.import_module(room)
    listed = getattr(package, "__all__", ())
    elsewhere = [name for name in listed if getattr(getattr(package, name), "__module__", "") != room]
    text = _automodule(room, *([f"   :exclude-members: {', '.join(elsewhere)}"] if files else []))
    return text + "".join(f"\n## {file.removeprefix('certunl.')}\n\n{_automodule(file)}" for file in files)


def _automodule(module: str, *options: str) -> str:
    return "\n".join(["```{eval-rst}", f".. automodule:: {module}", *options, "```", ""])


def setup(app: Any) -> dict[str, Any]:
    def read(app: Any, page: str, source: list[str]) -> None:
        source[0] = expanded(source[0])

    app.connect("source-read", read)
    return {"parallel_read_safe": True}
