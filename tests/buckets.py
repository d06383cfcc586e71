"""A local S3 server for tests, of the package moto."""

import contextlib
import logging
import urllib.request

import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextlib.contextmanager
def served():
    """A server that has the bucket "bucket": its address."""
    moto = pytest.importorskip("moto.server", reason="a local S3 server needs moto: pip install certunl[test]")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # one line a request
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        ask(f"http://{host}:{port}/bucket", b"", "PUT")
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def ask(url, content, verb="POST"):
    """Sends `content` to the server itself."""
    request = urllib.request.Request(url, content, {"Content-Type": "text/plain"}, method=verb)
    with urllib.request.urlopen(request):
        pass


def reach(address, monkeypatch):
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": address}).items():
        monkeypatch.setenv(name, value)


def objects(store):
    """The contents of all objects, by name."""
    inner = store._shards.files._objects
    return {name.decode(): inner.read(name).result().value for name in inner.list().result()}
