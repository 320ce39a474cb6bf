"""Who may ask the page, for what, and how much; every answer forbids the browser to ask elsewhere."""

import asyncio
import os
import time

import pytest

from pnet_tf.page_guard import Folder, Guard, Hosts

LOOPBACK = Hosts("127.0.0.1", "127.0.0.1")


def ask(tmp_path, path="/", *, method="GET", hosts=LOOPBACK, host="localhost:7860", kind="http", **headers):
    """Status and headers of an answer; those of the application behind are 200."""

    async def application(scope, receive, send):
        allowed = [(b"x", b"y"), (b"Access-Control-Allow-Origin", b"http://evil.example")]
        await send({"type": "http.response.start", "status": 200, "headers": allowed})
        await send({"type": "http.response.body", "body": b"z"})

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    sent = []

    async def send(message):
        sent.append(message)

    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [(name.encode(), value.encode()) for name, value in named.items() if value is not None]
    scope = {"type": kind, "path": path, "method": method, "headers": lines}
    asyncio.run(Guard(application, hosts=hosts, uploads=Folder(tmp_path, 200_000), upload_bytes=1000)(scope, receive, send))
    return sent[0].get("status"), dict(sent[0].get("headers", ()))


def test_every_answer_carries_a_policy_and_lets_no_other_page_read(tmp_path):
    for host in ("localhost", "evil.example"):
        status, headers = ask(tmp_path, host=host, origin="http://evil.example")
        assert status == (200 if host == "localhost" else 421)
        assert headers[b"content-security-policy"].startswith(b"default-src 'self';")
        assert b"http" not in headers[b"content-security-policy"]
        assert not [name for name in headers if name.lower().startswith(b"access-control")]


@pytest.mark.parametrize(
    ("hosts", "yes", "no"),
    [
        (LOOPBACK, "127.0.0.1:7860 LOCALHOST localhost. [::1]:7860 127.0.0.2", "evil.example 192.168.1.5 127.0.0.1.evil.example"),
        (Hosts("::1", "localhost"), "[::1]:7860 localhost:7860 127.0.0.1", "evil.example"),
        (Hosts("0.0.0.0", "0.0.0.0"), "192.168.1.5:7860 [fe80::1]:1 localhost", "evil.example 1.2.3.4.evil.example"),
        (Hosts("10.0.0.9", "studio"), "10.0.0.9 Studio:7860", "10.0.0.8 evil.example"),
        (Hosts("127.0.0.1", "127.0.0.1", ("Play.example",)), "play.example:443 127.0.0.1", "evil.play.example"),
    ],
)
def test_only_names_of_its_own_are_answered(hosts, yes, no, tmp_path):
    assert {host: ask(tmp_path, hosts=hosts, host=host)[0] for host in yes.split()} == dict.fromkeys(yes.split(), 200)
    assert {host: ask(tmp_path, hosts=hosts, host=host)[0] for host in no.split()} == dict.fromkeys(no.split(), 421)
    assert [ask(tmp_path, hosts=hosts, host=host)[0] for host in (None, "", "a b", "x@localhost")] == [421] * 4


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:7860", 200),
        ("https://play.example", 200),
        ("http://localhost:8000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_from_elsewhere_cannot_post(origin, status, tmp_path):
    hosts = Hosts("127.0.0.1", "127.0.0.1", ("play.example",))
    for path in ("/gradio_api/run/predict", "/performances/x/stop"):
        assert ask(tmp_path, path, method="POST", hosts=hosts, origin=origin)[0] == status
    assert ask(tmp_path, origin=origin)[0] == 200


def test_of_gradios_interface_only_what_the_form_needs_is_there(tmp_path):
    refused = (
        "queue/join", "queue/data", "cancel", "run/x", "file=/etc/passwd", "file/etc/passwd", "proxy=http://a",
        "openapi.json", "call/x", "stream/x", "deep_link", "",
    )
    for path in refused:
        assert ask(tmp_path, f"/gradio_api/{path}")[0] == 404, path
    for path in ("run/predict", "heartbeat/abc", "upload_progress", "startup-events"):
        assert ask(tmp_path, f"/gradio_api/{path}")[0] == 200, path
    assert ask(tmp_path, kind="websocket")[0] is None


def test_what_is_posted_is_bounded(tmp_path):
    def post(path, **headers):
        return ask(tmp_path, path, method="POST", **headers)[0]

    assert [post("/gradio_api/upload", content_length=str(n)) for n in (66_000, 67_000)] == [200, 413]
    assert [post("/gradio_api/run/predict", content_length=str(n)) for n in (65_000, 66_000)] == [200, 413]
    assert post("/gradio_api/upload", transfer_encoding="chunked") == 411


def test_uploads_together_are_bounded_and_the_oldest_go_first(tmp_path):
    """A tiny file counts for 64 KiB, and what was uploaded just now stays."""
    uploads = Folder(tmp_path, 200_000)
    for k in range(3):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "x.mid").write_bytes(b"x")
    assert uploads.make_room(1000) and not uploads.make_room(10_000)
    assert ask(tmp_path, "/gradio_api/upload", method="POST", content_length="10000")[0] == 503
    for k, ago_sec in enumerate((90, 100, 0)):
        os.utime(tmp_path / str(k) / "x.mid", (time.time() - ago_sec,) * 2)
    assert uploads.make_room(10_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]
