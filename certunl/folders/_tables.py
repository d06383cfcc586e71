"""The tables of a ledger, and connections to the file."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from certunl.disk import flush, trouble
from certunl.errors import BadInput, Unavailable

__all__ = ["connected", "create"]

_TABLES = (
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, line TEXT NOT NULL, "
    "state TEXT NOT NULL, part TEXT, told INTEGER NOT NULL)",
    "CREATE INDEX by_line ON entries (line)",
    "CREATE INDEX by_state ON entries (state)",
    "CREATE TABLE events (number INTEGER PRIMARY KEY, entry INTEGER NOT NULL, state TEXT NOT NULL, "
    "time TEXT NOT NULL, facts TEXT NOT NULL, before TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE INDEX by_entry ON events (entry)",
    "CREATE TABLE examples (entry INTEGER PRIMARY KEY, beside TEXT NOT NULL, salt BLOB NOT NULL, ids BLOB NOT NULL)",
    "CREATE TABLE reasons (event INTEGER PRIMARY KEY, salt BLOB NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE forgotten (line TEXT PRIMARY KEY, salt BLOB NOT NULL, ids BLOB NOT NULL) WITHOUT ROWID",
)
_SETTINGS = ("trusted_schema = OFF", "secure_delete = ON", "synchronous = EXTRA", "cell_size_check = ON")
_VERSION = 1
_GONE = "without it nobody knows what was asked and spent; restore it from a copy, or train again"


def create(place: Path) -> None:
    """Makes an empty ledger, readable by its owner alone. Nothing may be at `place`."""
    os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    flush(place.parent)


@contextlib.contextmanager
def connected(place: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to the ledger at `place`. With `write` the block is one transaction, durable when it ends.

    The journal is rolled back, because a write-ahead log fails on network file systems. What is deleted is overwritten.

    Raises: BadInput if the file is missing, a link, no ledger, damaged, or cannot be written.
    """
    if place.is_symlink() or not place.is_file():
        raise BadInput(f"{place} is missing, or no file; {_GONE}")
    _check_journal(place.with_name(f"{place.name}-journal"))
    # a reader must be able to roll back what a killed writer left, where it may write at all
    mode = "rw" if write or (os.access(place, os.W_OK) and os.access(place.parent, os.W_OK)) else "ro"
    try:
        uri = f"file:{quote(str(place.absolute()))}?mode={mode}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)) as connection:
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            if connection.execute("PRAGMA journal_mode").fetchone() != ("delete",):
                raise BadInput(f"{place} has another journal than this program gives it; {_GONE}")
            tables = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
            if tables != {*_TABLES} or connection.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                raise BadInput(f"{place} is no ledger of this version; {_GONE}")
            yield connection
            connection.execute("COMMIT")
    except BadInput:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, MemoryError) as error:  # strange facts
        raise BadInput(f"{place} is not as it was written ({type(error).__name__}: {error}); {_GONE}") from error
    except sqlite3.Error as error:
        if said := _trouble(error):
            raise Unavailable(f"{place}: {said}") from error
        raise BadInput(f"{place} is damaged ({error}); {_GONE}") from error


_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""The end of a journal that names a journal of several files. SQLite removes the file of that name, wherever it is."""


def _check_journal(journal: Path) -> None:
    """Raises BadInput for a journal of somebody else: this program's name no other file."""
    if journal.is_symlink() or (journal.exists() and not journal.is_file()):
        raise BadInput(f"{journal} is a link or no file; remove it")
    if journal.exists():
        with journal.open("rb") as file:
            file.seek(max(0, journal.stat().st_size - len(_MAGIC)))
            if file.read() == _MAGIC:
                raise BadInput(f"{journal} names another file, which this program's journals never do; remove it")


def _trouble(error: sqlite3.Error) -> str | None:
    """A sentence on a full disk, a missing permission or another writer; None for a damaged file."""
    match vars(error).get("sqlite_errorname", "").split("_")[:2]:
        case ["SQLITE", "FULL"]:
            return trouble(OSError(28, "No space left on device"))
        case ["SQLITE", "READONLY" | "CANTOPEN" | "PERM"]:
            return f"it cannot be written ({error}); {_MAY_NOT}"
        case ["SQLITE", "BUSY" | "LOCKED"]:
            return "another program holds it; wait until it ends, then try again"
        case ["SQLITE", "IOERR"]:
            return f"the disk refused ({error}); free some space or mend the disk, then give the same command again"
    return None


_MAY_NOT = "this user may not write there; change that, then try again"
