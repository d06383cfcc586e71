"""Ctrl-C and SIGTERM end a verb within a second, whatever it computes."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

__all__ = ["stoppable"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ON = {
    "train": "nothing was written but checkpoints; the same command goes on from the last one",
    "prepare": "rows that are written stay; the same command computes the others",
    "forget": "if the ledger has the request, the next verb finishes it; certunl ledger RUN --withdraw ID withdraws it",
    "serve": "requests that the ledger has are finished by the next verb; send the others again with their ids",
    "purge": "what was begun is finished by the next verb; give the same command again",
}


@contextlib.contextmanager
def stoppable(verb: str) -> Iterator[None]:
    """Within the block both signals print a sentence and end the process, with 128 + their number.

    A thread does it, because Python's own handlers wait until a computation of JAX returns, and JAX swallows what they
    raise within a callback. It may end the process anywhere: every verb survives a kill.
    """
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield
        return
    out, into = os.pipe()
    os.set_blocking(into, False)
    before = signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}

    def watch() -> None:
        while byte := os.read(out, 1):
            if byte[0] in _SIGNALS:
                show_cursor = "\x1b[?25h\n" if sys.stderr.isatty() else ""
                sentence = f"{show_cursor}certunl: stopped; {_ON.get(verb, 'give the same command again')}\n"
                os.write(2, sentence.encode())
                os._exit(128 + byte[0])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(into)
        watcher.join()
        os.close(out)
