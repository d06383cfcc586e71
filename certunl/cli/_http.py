"""The service over HTTP, on the loopback and with a token. Needs uvicorn (the extra "serve")."""

import asyncio
import hmac
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from certunl.cli._service import Service
from certunl.cli._words import say
from certunl.errors import BadInput

__all__ = ["app", "listen"]

_LARGEST = 2**24
"""The largest body that is read, in bytes."""


def app(service: Service, token: str) -> Callable[..., Awaitable[None]]:
    """The ASGI application: POST /requests takes JSON lines and gives JSON lines; everything else is refused."""
    worker = ThreadPoolExecutor(1)  # one body after another, and to its end even if its caller leaves

    async def handle(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            return
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(authorization, f"Bearer {token}".encode()):
            return await _send(send, 401, [{"error": "the header needs Authorization: Bearer TOKEN"}])
        if (scope["method"], scope["path"]) != ("POST", "/requests"):
            return await _send(send, 404, [{"error": "there is only POST /requests"}])
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > _LARGEST:
                return await _send(send, 413, [{"error": f"a body has at most {_LARGEST} bytes"}])
        texts = [line for line in body.decode(errors="replace").split("\n") if line.strip()]
        answers = asyncio.get_running_loop().run_in_executor(worker, lambda: list(service.answers(texts)))
        await _send(send, 200, await answers)

    return handle


async def _send(send: Callable[..., Any], status: int, lines: list[dict[str, Any]]) -> None:
    headers = [(b"content-type", b"application/x-ndjson")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = "".join(json.dumps(line) + "\n" for line in lines)
    await send({"type": "http.response.body", "body": body.encode()})


def listen(service: Service, port: int) -> None:
    """Serves on 127.0.0.1 until a signal ends the process, as it may at any moment. Prints the address and the token
    first.

    Raises: BadInput without uvicorn, and for a port that cannot be opened.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise BadInput("--http needs uvicorn: pip install 'certunl[serve]'") from error
    if not 0 <= port < 2**16:
        raise BadInput(f"a port lies between 0 and 65535, got {port}")
    token = secrets.token_urlsafe(32)
    server = uvicorn.Server(uvicorn.Config(app(service, token), log_level="error", lifespan="off"))
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
            door.listen()
        except OSError as error:
            raise BadInput(
                f"port {port} cannot be opened ({error.strerror}); choose another, or 0 for a free one"
            ) from error
        say(json.dumps({"address": f"http://127.0.0.1:{door.getsockname()[1]}/requests", "token": token}))
        # not in the main thread, where uvicorn would take the signals, and wait for callers that never end
        thread = threading.Thread(target=server.run, args=([door],), daemon=True)
        thread.start()
        thread.join()
