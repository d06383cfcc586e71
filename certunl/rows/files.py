"""The place of a store: named files in a folder, or objects under a URL."""

import contextlib
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from certunl.base import digest, plain
from certunl.disk import hold, trouble
from certunl.errors import BadInput, Unavailable
from certunl.rows.lease import Lease

__all__ = ["Files", "Place"]

Place = str | Path

_RETRIES = {"max_retries": 5}
"""A server that cannot be reached is given up after half a minute, where TensorStore tries for a quarter of an hour."""
_REFUSALS = {
    "NoSuchBucket|bucket does not exist": "there is no such bucket; make it, or name another one",
    "AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|PERMISSION_DENIED|UNAUTHENTICATED|credentials": "access is "
    "refused; check the credentials in the environment, and their rights on the bucket",
    "CURL error|retry attempts failed|UNAVAILABLE": "the server cannot be reached; check the address and the network",
}
"""What the errors of a bucket mean."""


class Files:
    """Files at `place`: in a folder, or objects under a URL that TensorStore understands (gs://, s3://, memory://).

    The server of s3:// is that of AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, if one is set, and its region that of
    AWS_REGION. What lies under memory:// lasts as long as the process.
    """

    def __init__(self, place: Place):
        import tensorstore as ts

        if isinstance(place, Path) and re.match("[a-z0-9]+:/", str(place)):
            raise BadInput(f"{place} has lost a slash, because a Path is no URL; give the URL as text")
        url = urlsplit(str(place))
        self.place, self.folder, self._lease = str(place), None, None
        if "://" not in self.place or url.scheme == "file":
            self.folder = Path(unquote(url.path) if url.scheme == "file" else place).absolute()
        if self.folder is not None:
            _check_plain(self.folder)
        self._context = _memory() if url.scheme == "memory" else _context()
        with self.refusing("cannot be opened"):
            base = {"driver": "file", "path": f"{self.folder}/"} if self.folder else _objects(self.place)
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
            self.confirm()
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
        """Locks the place against a second writer: a folder by a lock of its file system, a bucket by a `Lease`.

        It creates a folder that does not exist, and removes half-written files of a writer that was killed.
        Raises: BadInput if there is a second writer.
        """
        with contextlib.ExitStack() as lock:
            if self.folder is None:
                self.names("c")  # which says whether there is such a bucket; reading does not
                with self.refusing("cannot be locked against a second writer"):
                    self._lease = Lease(self._objects, self.place)
                lock.callback(self._release)
            else:
                with self.refusing("cannot be written to; choose another place"):
                    self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    lock.enter_context(hold(self.folder))
                for stale in self.folder.rglob("*.__lock"):
                    stale.unlink()
            yield

    def confirm(self) -> None:
        """Makes sure, before a write, that no other writer took the lease over. Raises: BadInput if one did."""
        if self._lease is not None:
            self._lease.renew()

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.release()
        self._lease = None

    @contextlib.contextmanager
    def refusing(self, problem: str) -> Iterator[None]:
        """Turns any other error into a BadInput that names the place and the `problem`."""
        try:
            yield
        except BadInput:
            raise
        except Exception as error:  # tensorstore raises many kinds
            if self.folder is None and (cause := next((c for c in _REFUSALS if re.search(c, str(error))), None)):
                raise Unavailable(f"{self.place}: {_REFUSALS[cause]}") from error
            if said := trouble(error):
                raise Unavailable(f"{self.place}: {said}; what is written stays") from error
            raise Unavailable(
                f"{self.place} {problem} ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
            ) from error


def _context() -> Any:
    """New resources of TensorStore. Those of the file driver are its own defaults."""
    import tensorstore as ts

    return ts.Context({"s3_request_retries": _RETRIES, "gcs_request_retries": _RETRIES})


_memory = functools.cache(_context)
"""The one context in which all of memory:// lies."""


def _objects(url: str) -> dict[str, Any]:
    """TensorStore's description of what lies under `url`."""
    import tensorstore as ts

    try:
        words, spec = os.environ, ts.KvStore.Spec(f"{url.rstrip('/')}/").to_json()
    except ValueError as error:
        cure = "a store lies in a folder, or under a URL such as s3://bucket/rows or gs://bucket/rows"
        raise BadInput(f"{url} cannot be opened: {cure} ({str(error).rpartition(': ')[2]})") from error
    endpoint = words.get("AWS_ENDPOINT_URL_S3") or words.get("AWS_ENDPOINT_URL")
    if spec["driver"] == "s3" and endpoint:
        region = words.get("AWS_REGION") or words.get("AWS_DEFAULT_REGION")
        spec |= {"endpoint": endpoint.rstrip("/")} | ({"aws_region": region} if region else {})
    return spec


def _check_plain(folder: Path) -> None:
    """Raises BadInput for a link in the folder of a store, through which files elsewhere would be read or written, and
    for pipes and devices, which would hold up a reader."""
    for place, folders, files in os.walk(folder):
        paths = [Path(place, name) for name in (*folders, *files)]
        if odd := [path for path in paths if path.is_symlink() or not (path.is_dir() or path.is_file())]:
            raise Unavailable(f"{odd[0]} is a link or no file, and nothing goes through it; put the real one there")
