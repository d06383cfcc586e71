"""Requests to forget, as sorted and unique ids `i32[k]` of present examples.

choosing    functions that draw a request or choose it by class, owner, loss, influence or likeness
other       `another` request of the same kind, on which settings may be chosen
words       `parse`, the request that a text describes, files of ids and owners by their own names included
"""

from certunl.requests.choosing import (
    by_class,
    by_owner,
    hardest,
    influential,
    mislabelled,
    near_duplicates,
    random,
    stream,
)
from certunl.requests.other import another
from certunl.requests.words import inline, listed, parse

__all__ = [
    "another",
    "by_class",
    "by_owner",
    "hardest",
    "influential",
    "inline",
    "listed",
    "mislabelled",
    "near_duplicates",
    "parse",
    "random",
    "stream",
]
