"""Seconds of work, with the compiler's share apart."""

import time
from types import TracebackType
from typing import Any, Self

import jax

__all__ = ["Stopwatch"]


class Stopwatch:
    """Measures a `with` block: `seconds` of work, `compile_seconds` of tracing and compiling, `compilations`.

    `seconds` is the wall time of the block less the time JAX reports for tracing, lowering and compiling, so that the
    first call and the hundredth can be compared. The block itself must wait for its results (`block_until_ready`).
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
