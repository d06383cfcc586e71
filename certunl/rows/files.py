"""The place of a store: named files in a folder, or objects under a URL."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from certunl.base import digest, plain
from certunl.disk import hold, trouble
from certunl.errors import BadInput, Unavailable

__all__ = ["Files", "Place"]

Place = str | Path


class Files:
    """Files at `place`, a folder or a URL that TensorStore understands (gs://, s3://, memory://)."""

    def __init__(self, place: Place):
        import tensorstore as ts

        url = urlsplit(str(place))
        self.place, self.folder = str(place), None
        if "://" not in self.place or url.scheme == "file":
            self.folder = Path(unquote(url.path) if url.scheme == "file" else place).absolute()
        if self.folder is not None:
            _check_plain(self.folder)
        base = f"{self.place.rstrip('/')}/" if self.folder is None else {"driver": "file", "path": f"{self.folder}/"}
        self._context = ts.Context()
        with self.refusing("cannot be opened"):
            self._objects = ts.KvStore.open(base, context=self._context).result()

    def note(self, name: str) -> dict[str, Any] | None:
        """The facts stored under `name`, or None."""
        with self.refusing(f"cannot be read, because {name} is damaged or half-written"):
            content = self._objects.read(name).result()
            if content.state != "value":
                return None
            facts = json.loads(content.value)
            if facts.pop("sha256") != digest(facts, ()):
                raise ValueError("its checksum does not match")
            return facts

    def keep(self, name: str, facts: dict[str, Any]) -> None:
        """Stores `facts` under `name`, completely or not at all."""
        text = json.dumps(facts, sort_keys=True, default=plain)
        content = f'{text[:-1]}, "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"}}'  # `digest` of the facts
        with self.refusing(f"cannot be written: {name}"):
            self._objects.write(name, content.encode()).result()

    def names(self, folder: str) -> list[bytes]:
        """The names that begin with `folder` and a slash."""
        import tensorstore as ts

        with self.refusing("cannot be listed"):
            return self._objects.list(ts.KvStore.KeyRange(f"{folder}/", f"{folder}0")).result()  # 0 follows the slash

    def array(self, metadata: dict[str, Any], new: bool) -> Any:
        """The zarr array of that `metadata`, which is created if `new`."""
        import tensorstore as ts

        spec = {"driver": "zarr3", "kvstore": self._objects.spec().to_json(), "metadata": metadata}
        with self.refusing("cannot be opened, because zarr.json is damaged or belongs to other rows"):
            return ts.open(spec, open=True, create=new, context=self._context).result()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Locks a local folder against a second writer, and creates it if it does not exist.

        It also removes half-written files of a writer that was killed. Raises: BadInput if there is a second writer.
        """
        with contextlib.ExitStack() as lock:
            if self.folder is not None:
                with self.refusing("cannot be written to; choose another place"):
                    self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    lock.enter_context(hold(self.folder))
                for stale in self.folder.rglob("*.__lock"):
                    stale.unlink()
            yield

    @contextlib.contextmanager
    def refusing(self, problem: str) -> Iterator[None]:
        """Turns any other error into a BadInput that names the place and the `problem`."""
        try:
            yield
        except BadInput:
            raise
        except Exception as error:  # tensorstore raises many kinds
            if said := trouble(error):
                raise Unavailable(f"{self.place}: {said}; what is written stays") from error
            raise Unavailable(
                f"{self.place} {problem} ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
            ) from error


def _check_plain(folder: Path) -> None:
    """Raises BadInput for a link in the folder of a store, through which files elsewhere would be read or written, and
    for pipes and devices, which would hold up a reader."""
    for place, folders, files in os.walk(folder):
        paths = [Path(place, name) for name in (*folders, *files)]
        if odd := [path for path in paths if path.is_symlink() or not (path.is_dir() or path.is_file())]:
            raise Unavailable(f"{odd[0]} is a link or no file, and nothing goes through it; put the real one there")
