"""A stopwatch that separates compilation from work."""

import time
from types import TracebackType
from typing import Any, Self

import jax

__all__ = ["Stopwatch"]


class Stopwatch:
    """Measures a `with` block.

    `compile_seconds` is the time that JAX reports for tracing, lowering and compiling, and `compilations` the number of
    compiled programs. `seconds` is the rest of the block's wall time, so the first call and a later one are comparable.
    The block itself must wait for its results (`block_until_ready`).
    """

    def __enter__(self) -> Self:
        self.seconds, self.compile_seconds, self.compilations = 0.0, 0.0, 0
        jax.monitoring.register_event_duration_secs_listener(self._hear)
        self._start = time.perf_counter()
        return self

    def _hear(self, event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            self.compile_seconds += duration_secs
            self.compilations += event == "/jax/core/compile/backend_compile_duration"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = max(time.perf_counter() - self._start - self.compile_seconds, 0.0)
        jax.monitoring.unregister_event_duration_listener(self._hear)
