"""A lock for places without locks of files: an object that its writer renews, and that lapses when the renewals end."""

import contextlib
import os
import secrets
import socket
import threading
import time
from typing import Any

from certunl.errors import Unavailable

__all__ = ["Lease"]

_NAME = "lock.json"
_EVERY, _LAPSE = 5.0, 30.0
"""Seconds between two renewals, and without one until another writer may take the lease over."""


class Lease:
    """The one writer's lease on a bucket. It is taken when it is made, and lost to a writer that takes it over.

    It is renewed every 5 s, and before each write. A writer that finds it waits for the next renewal, and is refused.
    If there is none for 30 s, it takes the lease over, and the former writer is refused at its next write. No clocks
    are compared.

    Three guarantees are missing. A writer that stands still for 30 s between its renewal and its write still writes. A
    server that ignores the conditions If-Match and If-None-Match may let in two writers that begin together. And of
    several processes that fill a store together only the first renews the lease; the others do not look at it.

    Args:
        objects: the key-value store of TensorStore.
        place: its name in messages.

    Raises: Unavailable if another writer has the lease.
    """

    def __init__(self, objects: Any, place: str):
        self._objects, self._place, self._renewals = objects, place, 0
        self._writer = f"{socket.gethostname()}, process {os.getpid()}, {secrets.token_hex(8)}"
        self._process = os.getpid()
        self._one, self._over = threading.Lock(), threading.Event()
        self._version = self._free()
        self.renew()
        self._pulse = threading.Thread(target=self._keep_up, daemon=True)
        self._pulse.start()

    def renew(self) -> None:
        """Renews the lease, before each write. Raises: Unavailable if another writer has it."""
        with self._one:
            self._renewals += 1  # no two versions are equal
            content = f'{{"writer": "{self._writer}", "renewals": {self._renewals}}}'.encode()
            for _ in range(2):
                if version := self._objects.write(_NAME, content, if_equal=self._version).result().generation:
                    self._version = version
                    return
                now = self._objects.read(_NAME).result()
                if self._writer.encode() not in now.value:
                    break
                self._version = now.stamp.generation  # this writer's own, at an attempt whose answer was lost
                if now.value == content:
                    return
            raise Unavailable(_BUSY.format(self._place))

    def release(self) -> None:
        """Gives the lease back. Where that fails, it lapses. In a forked process it is the parent's, and stays."""
        if os.getpid() != self._process:
            return
        self._over.set()
        if threading.current_thread() is not self._pulse:  # which may be the one that collects garbage
            self._pulse.join()
        with contextlib.suppress(Exception):  # tensorstore raises many kinds
            self._objects.write(_NAME, None, if_equal=self._version).result()  # which spares another writer's

    def _free(self) -> bytes:
        """The version over which this writer may write: that of no object, or of a lease that lapsed."""
        first = self._objects.read(_NAME).result()
        end = time.monotonic() + _LAPSE
        while first.state == "value" and time.monotonic() < end:
            time.sleep(_EVERY / 5)
            now = self._objects.read(_NAME).result()
            if now.state != "value":
                return now.stamp.generation
            if now.stamp.generation != first.stamp.generation:
                raise Unavailable(_BUSY.format(self._place))
        return first.stamp.generation

    def _keep_up(self) -> None:
        while not self._over.wait(_EVERY):
            try:
                self.renew()
            except Unavailable:
                return  # the next write says so
            except Exception:  # the network may come back; the next write says if not
                continue


_BUSY = "another certunl is working on {}; wait until it ends, then try again"
