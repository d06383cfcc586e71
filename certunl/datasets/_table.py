"""Tables as columns of text, from CSV files, and from Arrow, Parquet and data frames."""

import csv
import gzip
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certunl.errors import BadInput

__all__ = ["Table", "table_of_csv", "table_of_frame"]

_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Table:
    """Columns of text of one length.

    Args:
        title: the name of the file, for messages.
        columns: {name: cells}, without spaces at their ends; "" is a missing value.
        lines: the line of each row in its file; None counts the rows from 0.
        texts: names of the columns that their file declares to be text.
    """

    title: str
    columns: dict[str, list[str]]
    lines: Sequence[int] | None = None
    texts: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"{self.title}, " + (f"row {row}" if self.lines is None else f"line {self.lines[row]}")


def table_of_csv(path: str | os.PathLike[str], delimiter: str | None) -> Table:
    """The table of a file with a header. `delimiter` None takes the one of `, ; tab |` that splits the header most.

    Raises: BadInput that names the file, and the line at fault.
    """
    if not isinstance(path, str | os.PathLike):
        raise BadInput(f"read_csv takes the path of a file, got {type(path).__name__}; read_table takes a frame")
    path = Path(path)
    if not (delimiter is None or (isinstance(delimiter, str) and len(delimiter) == 1 and delimiter not in '"\r\n')):
        raise BadInput(f"delimiter must be one character, or None to look at the header, got {delimiter!r}")
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for fields in reader:
            fields = [field.strip() for field in fields]
            if not fields:
                continue
            if not header:
                header = _checked(fields, path)
                continue
            if len(fields) != len(header):
                raise BadInput(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, but the header has {len(header)}; quote "
                    "fields that hold the delimiter"
                )
            rows.append(fields)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}: the line cannot be read as CSV ({error})") from error
    if not header:
        raise BadInput(f"{path} is empty; a header line and rows are expected")
    if not rows:
        raise BadInput(f"{path} has a header and no rows")
    return Table(str(path), dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)), lines)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise BadInput(f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: byte 0x00 is no text")
    return text


def _delimiter(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")

    def fields(delimiter: str) -> int:
        return len(next(csv.reader([header], delimiter=delimiter), []))

    return max(_DELIMITERS, key=fields)


def _checked(names: Sequence[str], title: Any) -> list[str]:
    """The column names. Raises: BadInput for empty and for repeated ones."""
    for i, name in enumerate(names, start=1):
        if not name:
            raise BadInput(
                f"column {i} of {title} has no name; name it in the header, or write the file without its index "
                "(to_csv(index=False))"
            )
        if name in names[: i - 1]:
            raise BadInput(f"{title} has two columns of the name {name!r}; rename one")
    return list(names)


def table_of_frame(frame: Any, title: str, ignored: Collection[str] = ()) -> Table:
    """The table of a pandas or Polars frame, an Arrow table, a dictionary of columns, or a path of a Parquet or Arrow
    (Feather) file. The cells of `ignored` columns are not looked at.

    Raises: BadInput without pyarrow, for columns of other than numbers, truth values and text, and for damaged files.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise BadInput(f"{title} needs pyarrow; pip install pyarrow, or write the table as CSV") from error
    if isinstance(frame, str | os.PathLike):
        frame = _file(Path(frame))
    try:
        table: Any = frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        detail = " ".join(str(error).split())
        raise BadInput(f"{title} is no table with columns of one length and one kind each ({detail})") from error
    names = [str(name).strip() for name in table.column_names]
    pairs = [(n, c) for n, c in zip(names, table.columns, strict=True) if not n.startswith("__index_level_")]
    _checked([name for name, _ in pairs], title)
    if not pairs or not table.num_rows:
        raise BadInput(f"{title} has no rows" if pairs else f"{title} has no columns")
    columns, texts = {}, set()
    for name, column in pairs:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            texts.add(name)
        values = [None] * len(column) if name in ignored else column.to_pylist()
        columns[name] = [_cell(value, name, title) for value in values]
    return Table(title, columns, None, frozenset(texts))


def _file(path: Path) -> Any:
    import pyarrow as pa

    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            return parquet.read_table(path)
        from pyarrow import feather

        return feather.read_table(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        detail = " ".join(str(error).split())[:200]
        raise BadInput(f"{path} cannot be read as {path.suffix.removeprefix('.')}: {detail}") from error


def _cell(value: Any, name: str, title: str) -> str:
    """A value as text; "" for a missing one."""
    if value is None or value != value:
        return ""
    if not isinstance(value, str | int | float):
        raise BadInput(
            f"column {name!r} of {title} holds {type(value).__name__}; numbers, truth values or text are expected; "
            "make numbers of it, or leave it out"
        )
    return str(value).strip()
