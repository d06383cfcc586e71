"""Processes that watch each other over sockets, so that the death of one is known to the others at once."""

import contextlib
import hmac
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

from certunl.errors import Unavailable

__all__ = ["Watch"]

_LONGEST = 512
"""Bytes of the message in which process 0 says where it listens."""


class Watch:
    """A connection of every process with process 0. Before a process goes, it says «left», or why it failed.

    Args:
        rank: the number of this process.
        count: the number of processes.
        timeout: seconds that a process waits for the others.
        end: called with a sentence, in a thread, when another process died, failed or did not come.
    """

    def __init__(self, rank: int, count: int, timeout: float, end: Callable[[str], None]):
        self.rank, self.count, self.timeout, self._end = rank, count, timeout, end
        self._links: dict[int, socket.socket] = {}
        self._left, self._closed = ({other: threading.Event() for other in range(count)} for _ in range(2))
        self._over = threading.Event()

    def connect(self, tell: Callable[[bytes], bytes]) -> None:
        """Connects all processes. `tell` gives every process the bytes that process 0 passes to it."""
        if self.rank == 0:
            with socket.create_server(("", 0), backlog=self.count) as server:
                server.settimeout(self.timeout)
                secret = secrets.token_hex(16)
                places = f"{secret} {server.getsockname()[1]} {' '.join(_addresses())}".encode()
                tell(places[:_LONGEST].ljust(_LONGEST))
                while len(self._links) < self.count - 1:
                    self._welcome(server, secret)
        else:
            secret, port, *hosts = tell(bytes(_LONGEST)).decode().split()
            self._links[0] = _reached(hosts, int(port), self.timeout)
            self._links[0].sendall(f"{secret} {self.rank:>8}".encode())
        for other, link in self._links.items():
            threading.Thread(target=self._listen, args=(other, link), daemon=True).start()

    def leave(self) -> None:
        """Says that this process is done, and waits until all are. One that dies before is noticed."""
        if self.rank:
            self._say("left")
        for other in self._links:
            self._left[other].wait()
        if self.rank == 0:
            self._say("left")
        self._over.set()

    def close(self) -> None:
        """Ends the connection. Process 0 waits until all others have done so, because JAX's coordinator runs in it."""
        for other, link in self._links.items():
            if self.rank:
                link.shutdown(socket.SHUT_WR)
            else:
                self._closed[other].wait(self.timeout)

    def fail(self, sentence: str) -> None:
        """Says that this process ends by an error."""
        self._over.set()
        for link in self._links.values():
            os.dup(link.fileno())  # so that the connection ends with the process, and not with this object
        self._say(f"process {self.rank} of {self.count} ended ({sentence})")

    @contextlib.contextmanager
    def limit(self, what: str) -> Iterator[None]:
        """Ends this process if the block takes longer than the time limit. `what` is where the processes meet."""
        sentence = f"not all {self.count} processes came within {self.timeout:g} s to where they meet: {what}"
        timer = threading.Timer(self.timeout, self._end, [sentence])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _welcome(self, server: socket.socket, secret: str) -> None:
        try:
            link, _ = server.accept()
        except TimeoutError:
            self._end(f"only {len(self._links) + 1} of {self.count} processes came within {self.timeout:g} s")
            return
        try:
            link.settimeout(10.0)
            word, number = link.recv(len(secret) + 9, socket.MSG_WAITALL).decode().split()
        except (OSError, ValueError):
            return  # a stranger
        if hmac.compare_digest(word, secret):
            _keep_alive(link)
            self._links[int(number)] = link

    def _listen(self, other: int, link: socket.socket) -> None:
        """Waits for the last word of a process. Its end without a word is its death."""
        link.settimeout(None)
        lines = link.makefile("r")
        word = _line(lines)
        if word == "left":
            self._left[other].set()
            _line(lines)
            self._closed[other].set()
        elif not self._over.is_set():
            sentence = word or f"process {other} of {self.count} died"
            self._over.set()
            self._say(sentence)
            if word and self.rank == 0:  # JAX aborts a process whose process 0 is gone; it has an error to print first
                link.settimeout(10.0)
                _line(lines)
            self._end(sentence)

    def _say(self, word: str) -> None:
        for link in self._links.values():
            with contextlib.suppress(OSError):
                link.sendall(f"{word}\n".encode())


def _line(lines: TextIO) -> str:
    """The next line; "" at the end."""
    try:
        return lines.readline().strip()
    except OSError:
        return ""


def _addresses() -> list[str]:
    """The names and addresses by which other machines may reach this one, and itself."""
    addresses = [socket.gethostname()]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 1))  # nothing is sent; it chooses the address of the way out
        addresses.append(probe.getsockname()[0])
    return [*addresses, "localhost"]


def _reached(hosts: list[str], port: int, timeout: float) -> socket.socket:
    for host in hosts:
        with contextlib.suppress(OSError):
            link = socket.create_connection((host, port), min(timeout, 10.0))
            _keep_alive(link)
            return link
    raise Unavailable(f"process 0 cannot be reached at port {port} of {', '.join(hosts)}; open it between the machines")


def _keep_alive(link: socket.socket) -> None:
    """A machine that is gone without a word is noticed after about a minute."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
