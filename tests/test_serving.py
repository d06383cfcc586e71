"""serve answers each line of JSON with a line."""

import asyncio
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from subprocess import PIPE

import jax
import numpy as np
import pytest

from certunl.cli import _http
from certunl.folders import RunFolder
from certunl.folders.checking import problems
from tests.verbs import certunl, refused


@pytest.fixture
def folder(own_copy):
    return own_copy


@pytest.fixture
def serve(monkeypatch, capsys):
    def answers(folder, lines, *words):
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        capsys.readouterr()
        certunl("serve", folder, *words)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return answers


def test_requests_that_wait_share_an_update_where_rows_add_up(folder, serve):
    said = serve(folder, [{"id": f"O-{i}", "ids": [i]} for i in (3, 9, 27)], "--trivial")
    assert [one["state"] for one in said] == ["erased"] * 3 and {one["release"] for one in said} == {
        "releases/hessian_free-1"
    }
    assert [one["entry"] for one in said] == [1, 2, 3] and len({one["head"] for one in said}) == 3
    assert all(one["certificate"]["verdict"] == "VACUOUS" and one["milliseconds"] > 0 for one in said)
    place = RunFolder(folder)
    assert problems(place) == [] and place.ledger.account("hessian_free").releases == 1
    alone = place.path.with_name("alone")
    shutil.copytree(folder, alone)
    certunl("verify", folder / "releases" / "hessian_free-1", "--run", folder)


def test_one_update_for_several_is_the_sum_of_theirs(folder, tmp_path, serve):
    apart = tmp_path / "apart"
    shutil.copytree(folder, apart)
    requests = [{"id": f"O-{i}", "ids": [i]} for i in (3, 9, 27)]
    serve(folder, requests)
    for request in requests:
        serve(apart, [request])
    assert RunFolder(apart).ledger.parts() == [f"hessian_free-{k}" for k in (1, 2, 3)]
    params = [
        RunFolder(p).releases.updates.load(name)[0]
        for p, name in ((folder, "hessian_free-1"), (apart, "hessian_free-3"))
    ]
    for one, two in zip(*map(jax.tree.leaves, params), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


def test_bad_lines_are_refused_and_lose_nothing(folder, serve):
    bad = ["x", "[]", "3", '{"ids": [1', {"ids": []}, {"ids": ["a"]}, {"ids": [True]}, {"ids": [1.5]}, {"ids": [-1]}]
    bad += [{}, {"ids": [1], "owner": 3}, {"id": 7, "ids": [1]}, {"id": "a b", "ids": [1]}, {"ids": [10**6]}]
    bad += [{"request": "ids:@/etc/passwd"}, {"owner": "@/etc/passwd"}, {"owner": ["@/etc/passwd", "@/etc/passwd"]}]
    bad += [{"request": 4}, {"request": "all"}, {"owner": 3}, "[" * 10_000, "null", '{"ids": NaN}']
    bad += [{"ids": [1], "epsilon": "x"}, {"ids": [1], "epsilon": -1}, {"ids": [1], "colour": 1}]
    bad += [{"id": [1], "ids": [1]}, {"ids": [1], "epsilon": 10**400}, '{"ids": [1], "reason": "\\ud800"}']
    bad += [{"ids": [1], "delta": 2}, {"ids": [[1]]}, {"ids": [10**30]}]
    said = serve(folder, [*bad, {"id": "good", "ids": [5]}, {"id": "good", "ids": [5]}, {"id": "good", "ids": [6]}])
    assert [one["state"] for one in said[: len(bad)]] == ["refused"] * len(bad)
    assert all(one["reason"] and "\n" not in one["reason"] and "root" not in one["reason"] for one in said[: len(bad)])
    assert [one["state"] for one in said[len(bad) :]] == ["erased", "erased", "refused"]
    assert RunFolder(folder).ledger.forgotten().tolist() == [5]
    again = serve(folder, [{"id": "good", "ids": [5]}, {"ids": [5]}, {"id": "good", "ids": [6]}])
    assert again[0]["state"] == "erased" and "already forgotten" in again[1]["reason"]
    assert "names another request (ids:5 by hessian_free" in again[2]["reason"]
    assert problems(RunFolder(folder)) == []


def test_budgets_and_drawn_requests_are_answered_apart(folder, serve):
    lines = [
        {"ids": [1]},
        {"ids": [2], "epsilon": 2.0},
        {"request": "random:3"},
        {"request": "hardest:2"},
        {"ids": [0]},
    ]
    said = serve(folder, lines, "--trivial", "--seed", "5")
    assert [one["examples"] for one in said] == [1, 1, 3, 2, 1]
    assert len({one["release"] for one in said}) == 5 and said[1]["certificate"]["epsilon"] == 2.0


def test_other_methods_are_answered_one_by_one_and_a_refusal_is_one_of_them(folder, tmp_path, serve):
    listed = tmp_path / "requests.jsonl"
    listed.write_text('{"ids": [1]}\n\n{"ids": [2], "distance": 0.1}\n{"ids": [3]}\n')
    words = ("--method", "newton", "--set", "operator=ggn", "--input", listed)
    said = serve(folder, [], *words)
    assert [one["state"] for one in said] == ["erased", "refused", "erased"] and "distance" in said[1]["reason"]
    assert RunFolder(folder).ledger.parts() == ["newton-1", "newton-2"]


def test_what_serve_cannot_do_is_said_first(folder, tmp_path, capsys):
    assert "there is no file" in refused(capsys, "serve", folder, "--input", tmp_path / "absent")
    assert "no run folder" in refused(capsys, "serve", tmp_path / "absent")
    assert "is for the library" in refused(capsys, "serve", folder, "--method", "perturbed_removal")
    assert "port lies between" in refused(capsys, "serve", folder, "--http", "99999")


def called(app, method="POST", path="/requests", token="t", body=b""):
    """(status, answers) of one call of an ASGI application."""
    sent, headers = [], [(b"authorization", f"Bearer {token}".encode())] if token else []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": path, "headers": headers}, receive, send))
    return sent[0]["status"], [json.loads(line) for line in sent[1]["body"].decode().splitlines()]


def test_the_server_answers_on_the_loopback(folder):
    code = "from certunl import cli; import sys; cli.main(sys.argv[1:])"
    call = [sys.executable, "-c", code, "serve", str(folder), "--http", "0"]
    environment = os.environ | {"JAX_ENABLE_X64": "1"}
    with subprocess.Popen(call, stdout=PIPE, stderr=PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            door = json.loads(process.stdout.readline())
            assert door["address"].startswith("http://127.0.0.1:")
            headers = {"Authorization": f"Bearer {door['token']}"}
            call = urllib.request.Request(door["address"], b'{"id": "A", "ids": [3]}\n{"ids": [3]}\n', headers)
            with urllib.request.urlopen(call, timeout=60) as answer:
                said = [json.loads(line) for line in answer.read().decode().splitlines()]
            port = int(door["address"].split(":")[2].split("/")[0])
            with socket.create_connection(("127.0.0.1", port)) as slow:  # a caller that never ends holds nothing up
                head = f"POST /requests HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door['token']}\r\n"
                slow.sendall(f"{head}Content-Length: 100\r\n\r\nabc".encode())
                process.terminate()
                process.wait(timeout=10)
        finally:
            process.kill()
        assert process.stderr is not None
        assert "certunl: stopped; requests that the ledger has are finished" in process.stderr.read()
    assert [one["state"] for one in said] == ["erased", "refused"] and process.returncode == 143
    assert RunFolder(folder).ledger.entry("A").state == "erased" and problems(RunFolder(folder)) == []


class Echo:
    def answers(self, texts):
        return ({"said": text} for text in texts)


def test_http_needs_the_token_and_one_path():
    assert called(_http.app(Echo(), "t"), body=b"1\n\n2\n") == (200, [{"said": "1"}, {"said": "2"}])
    for wrong in ({"token": "x"}, {"token": ""}):
        assert called(_http.app(Echo(), "t"), **wrong)[0] == 401
    assert called(_http.app(Echo(), "t"), method="GET")[0] == 404
    assert called(_http.app(Echo(), "t"), path="/")[0] == 404
    assert called(_http.app(Echo(), "t"), body=b"x" * (_http._LARGEST + 1))[0] == 413
