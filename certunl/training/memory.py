"""The memory that is free now, the refusal of work that needs more, and the release of compiled programs."""

import resource
from pathlib import Path
from typing import Any

import jax

from certunl.errors import Unavailable

__all__ = ["check_memory", "free_bytes", "release_programs"]

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def check_memory(what: str, needed: float, cure: str, device: Any = None) -> None:
    """Raises: BadInput, with `cure`, if `what` takes more bytes than are free on `device`. Unknown memory passes.

    Args:
        what: the subject of the sentence, in the plural.
        needed: bytes.
        cure: what the caller can do instead.
        device: one of `jax.devices()`. Default: the first.
    """
    device = device or jax.local_devices()[0]
    free = free_bytes(device)
    if free is not None and needed > free:
        place = "" if device.platform == "cpu" else f" on {device}"
        raise Unavailable(f"{what} need {_size(needed)} of memory, and {_size(free)} are free{place}; {cure}")


def free_bytes(device: Any) -> int | None:
    """The bytes that this process may still allocate on `device`. None if the system does not say.

    On a CPU: the least of what the machine has available, what the process's control groups leave (versions 1 and 2),
    and what its own limits leave (`ulimit -v`, `ulimit -d`).
    """
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None
    rooms = [_available(), _within_groups(), *_within_limits()]
    return min((max(room, 0) for room in rooms if room is not None), default=None)


def release_programs() -> None:
    """Drops JAX's compiled programs once this process has more than half of the memory maps that Linux allows it.

    On a CPU XLA takes a map for almost every function of a program, and at the limit it ends the process. A program
    that is needed again is compiled again. Nothing happens on a system without /proc.
    """
    most = _text(_PROC / "sys" / "vm" / "max_map_count").strip()
    if most.isdigit() and _text(_PROC / "self" / "maps").count("\n") > int(most) // 2:
        jax.clear_caches()


def _size(count: float) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # another system, or a file that this process may not read
        return ""


def _fields(path: Path) -> dict[str, int]:
    """The first number of each line of `path`, in bytes, by the line's first word."""
    lines = [line.replace(":", " ").split() for line in _text(path).splitlines()]
    return {
        words[0]: int(words[1]) * (1024 if words[-1] == "kB" else 1)
        for words in lines
        if len(words) > 1 and words[1].isdigit()
    }


def _available() -> int | None:
    return _fields(_PROC / "meminfo").get("MemAvailable")


def _within_groups() -> int | None:
    """What the control groups of this process leave. A group's own files in the page cache count as free."""
    rooms = []
    for line in _text(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = _CGROUPS / controllers
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        group = root / path.lstrip("/")
        for place in (group, *group.parents):
            limit, usage = (_text(place / name).strip() for name in names)
            if limit.isdigit() and usage.isdigit():  # "max" is no limit
                cached = _fields(place / "memory.stat")
                cached = cached.get("total_inactive_file", cached.get("inactive_file", 0))
                rooms.append(int(limit) - int(usage) + cached)
            if place == root:
                break
    return min(rooms, default=None)


def _within_limits() -> list[int]:
    sizes = _fields(_PROC / "self" / "status")
    pairs = ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData"))
    limits = [(resource.getrlimit(limit)[0], sizes.get(name)) for limit, name in pairs]
    return [limit - size for limit, size in limits if size is not None and limit != resource.RLIM_INFINITY]
