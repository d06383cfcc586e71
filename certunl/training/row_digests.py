"""Digests of examples, one for each row, by which an extractor knows those that it was trained on."""

import hashlib
from typing import Any

import numpy as np

from certunl.base import digest
from certunl.training.dataset import Dataset

__all__ = ["row_digests", "rows_digest"]

_BLOCK = 256
"""Number of rows that are read at once."""


def rows_digest(digests: list[bytes], data: Dataset) -> str:
    """A digest of the examples in their order: inputs rounded to float32, targets and owners as they are."""
    rest = [None if a is None else np.asarray(a).tolist() for a in (data.y, data.owners)]
    return digest([b"".join(digests).hex(), rest], ())


def row_digests(x: Any) -> list[bytes]:
    """A hash of 128 bits for each row, rounded to float32."""
    digests = []
    for first in range(0, len(x), _BLOCK):  # inputs on the host may be larger than the memory
        rows = np.asarray(x[first : first + _BLOCK]).astype(np.float32)
        rows = rows.reshape(len(rows), -1) + 0.0  # turns -0 into 0, which are the same input
        digests += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
    return digests
