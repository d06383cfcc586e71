"""Secrets: 256 bits of the operating system's entropy, spent by their first use, and the bytes expanded from them."""

import hashlib
import os
from typing import Any

import jax
import numpy as np

from certunl.base import Key
from certunl.errors import BadInput

__all__ = ["Secret", "digest_of", "expanded", "jax_key", "secret_key", "spent", "unchecked"]


class Secret:
    """256 bits of the operating system's entropy, spent by their first use.

    `spend` hands the bits out once, in the process that drew them. Nothing else does: the object does not print, copy,
    compare or pickle them, and no class is derived from it. `digest` identifies a secret without telling it, so that
    an account can refuse its second use.

    >>> secret = secret_key()
    >>> secret
    Secret(unused)
    """

    __slots__ = ("_bytes", "_process", "digest")

    def __init__(self) -> None:
        bits = os.urandom(32)
        self._bytes, self._process = [bits], os.getpid()
        self.digest = hashlib.sha256(b"certunl secret" + bits).hexdigest()

    def __init_subclass__(cls) -> None:
        raise BadInput("no class is derived from Secret, because it could tell its bits twice; use secret_key()")

    def spend(self) -> bytes:
        """The 256 bits. Raises: BadInput the second time, and in a process that did not draw them."""
        if self._process != os.getpid():
            raise BadInput("this secret belongs to the process that drew it; draw another here with secret_key()")
        try:
            return self._bytes.pop()  # one call, so that of two threads only one gets the bits
        except IndexError:
            raise BadInput(
                "this secret was used before: two releases with the same noise give the un-noised difference"
            ) from None

    def __repr__(self) -> str:
        return f"Secret({'unused' if self._bytes else 'spent'})"

    def __copy__(self) -> "Secret":
        raise BadInput("a secret is not copied: draw another with secret_key()")

    def __deepcopy__(self, memo: Any) -> "Secret":
        return self.__copy__()

    def __reduce__(self) -> Any:
        raise BadInput("a secret is not saved or sent: draw another with secret_key()")


def secret_key() -> Secret:
    """A new secret for the noise of one release.

    Returns: 256 bits of the operating system's entropy. `certify`, or the `forget` of a method whose steps carry the
    noise, spends it; the next release needs another.
    """
    return Secret()


def digest_of(key: Key | Secret) -> str:
    """The digest of a secret or of a JAX key. Raises: BadInput for anything else."""
    return key.digest if isinstance(key, Secret) else hashlib.sha256(b"certunl secret" + _of_jax(key)).hexdigest()


def spent(key: Key | Secret) -> bytes:
    """The bytes of a secret, which is spent, or of a JAX key, which is fit for tests only."""
    return key.spend() if isinstance(key, Secret) else _of_jax(key)


def unchecked(key: Key | Secret) -> tuple[str, ...]:
    """The open questions about noise from `key`: none for a secret."""
    return () if isinstance(key, Secret) else (_FROM_JAX,)


_FROM_JAX = "the noise comes from a JAX key, whose bits may be known from its seed (use secret_key())"


def _of_jax(key: Key) -> bytes:
    try:
        return b"JAX key" + np.asarray(jax.random.key_data(key)).tobytes()
    except TypeError:
        raise BadInput(
            f"the key of a release is secret_key(), or a JAX key in tests; got {type(key).__name__}"
        ) from None


def expanded(seed: bytes, purpose: bytes, count: int) -> bytes:
    """`count` bytes for one purpose; those for different purposes are independent."""
    return hashlib.shake_256(b"certunl " + purpose + b": " + seed).digest(count)


def jax_key(seed: bytes, purpose: bytes) -> Key:
    """A JAX key for choices that need no secrecy, such as batches."""
    words = np.frombuffer(expanded(seed, purpose, 8), np.uint32)
    return jax.random.wrap_key_data(jax.numpy.asarray(words), impl="threefry2x32")
