"""The download resumes, verifies, and keeps nothing that is not whole; the server is one of our own on the loopback."""

import contextlib
import email.message
import hashlib
import http.server
import io
import os
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest

from pnet_tf import download
from pnet_tf.download import RemoteFile
from pnet_tf.errors import InputError

CONTENT = bytes(range(256)) * 5000
FILE = RemoteFile("data.bin", len(CONTENT), hashlib.md5(CONTENT).hexdigest())


class Server:
    """Serves CONTENT, or misbehaves as told; `asked` holds the Range header of each request, `paths` what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.paths: list[str] = []
        self.ranges = True
        self.stop_after: int | None = None
        self.content = CONTENT
        self.content_range: str | None = None
        self.status: int | None = None
        self.says_length = True
        self.redirects: dict[str, str] = {}
        self.pause_sec = 0.0
        self.url = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        self.paths.append(handler.path)
        if self.status:
            handler.send_error(self.status)
            return
        if target := self.redirects.get(handler.path):
            handler.send_response(302)
            handler.send_header("Location", target)
            handler.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            of = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            handler.send_header("Content-Range", self.content_range or of)
        if self.says_length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            if self.pause_sec:
                self._trickle(handler, body)
            else:
                handler.wfile.write(body[: self.stop_after])

    def _trickle(self, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        """A byte at a time, with pauses, until the other side has had enough."""
        for byte in body[: self.stop_after]:
            handler.wfile.write(bytes([byte]))
            time.sleep(self.pause_sec)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_address[1]}/"
        yield state
        running.shutdown()
        thread.join()


def fetch(server, out, file=FILE):
    download.download((file,), out, base_url=server.url)


def test_a_file_arrives_whole_under_its_name(server, tmp_path):
    fetch(server, tmp_path / "new" / "folder")
    assert os.listdir(tmp_path / "new" / "folder") == ["data.bin"]
    assert (tmp_path / "new" / "folder" / "data.bin").read_bytes() == CONTENT


def test_a_part_is_continued_from_its_end(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:700_000])
    fetch(server, tmp_path)
    assert server.asked == ["bytes=700000-"]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["data.bin"]


def test_a_connection_that_ends_too_soon_is_said_and_resumed(server, tmp_path):
    server.stop_after = 500_000
    with pytest.raises(InputError, match="ended at 500000 of 1280000 bytes; the same command resumes"):
        fetch(server, tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:500_000]
    server.stop_after = None
    fetch(server, tmp_path)
    assert server.asked == [None, "bytes=500000-"]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.ranges = False
    (tmp_path / "data.bin.part").write_bytes(b"other" * 1000)
    fetch(server, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_wrong_md5_is_one_line_and_the_part_is_removed(server, tmp_path):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(InputError, match=r"data\.bin: MD5 is \w{32}, expected \w{32}: removed") as caught:
        fetch(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("n_bytes", [len(CONTENT) + 1, 10 * len(CONTENT)])
def test_more_than_was_promised_is_not_kept(server, tmp_path, n_bytes):
    server.content = (CONTENT * 11)[:n_bytes]
    with pytest.raises(InputError, match=f"the server sends {n_bytes} bytes, expected {len(CONTENT)}; look at that address"):
        fetch(server, tmp_path)
    assert os.listdir(tmp_path) == []
    server.says_length = False
    with pytest.raises(InputError, match="MD5"):
        fetch(server, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("says_length", [True, False])
def test_a_page_that_is_no_file_costs_no_part(server, tmp_path, says_length):
    """Networks that want a login answer everything, ranges too, with a page of their own and status 200."""
    server.content, server.ranges, server.says_length = b"<html>Please log in</html>", False, says_length
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:700_000])
    with pytest.raises(InputError, match=r"the server sends (26|an unknown number of) bytes, expected 1280000"):
        fetch(server, tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:700_000]


def test_a_server_that_has_less_than_the_part_says_what_to_do(server, tmp_path):
    server.status = 416
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match=r"416 .*; remove data\.bin\.part and start again"):
        fetch(server, tmp_path)


def test_a_redirect_is_followed_with_its_range(server, tmp_path):
    server.redirects["/data.bin"] = "/elsewhere/it"
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:700_000])
    fetch(server, tmp_path)
    assert server.paths == ["/data.bin", "/elsewhere/it"] and server.asked == ["bytes=700000-"] * 2
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_redirects_in_a_circle_are_one_line(server, tmp_path):
    server.redirects.update({"/data.bin": "/b", "/b": "/data.bin"})
    with pytest.raises(InputError, match="the server answers 302") as caught:
        fetch(server, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/data.bin"])
def test_a_redirect_off_the_web_is_refused(server, tmp_path, target):
    server.redirects["/data.bin"] = target
    with pytest.raises(InputError, match="which is not http: refused|not allowed"):
        fetch(server, tmp_path)


@pytest.mark.parametrize(("timeout_sec", "pause_sec"), [(0.3, 2.0), (0.5, 0.05)])
def test_a_server_that_stalls_or_trickles_is_left_and_resumed(server, tmp_path, monkeypatch, timeout_sec, pause_sec):
    """Nothing for longer than the timeout; or a little every time, so that no timeout of the socket ever comes."""
    monkeypatch.setattr(download, "_TIMEOUT_SEC", timeout_sec)
    server.pause_sec = pause_sec
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match="the connection broke .*; the same command resumes"):
        fetch(server, tmp_path)
    kept = (tmp_path / "data.bin.part").read_bytes()
    assert len(kept) > 1000 and CONTENT.startswith(kept)
    server.pause_sec = 0.0
    fetch(server, tmp_path)
    assert server.asked[-1] == f"bytes={len(kept)}-"
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_two_downloads_into_one_folder_at_once_are_refused(server, tmp_path):
    program = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX); print(1, flush=True); input()"
    other = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        with pytest.raises(InputError, match="another download is running there"):
            fetch(server, tmp_path)
        process.communicate("\n", timeout=30)
    assert server.asked == []
    fetch(server, tmp_path)


def test_a_part_longer_than_the_file_is_no_part_of_it(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    fetch(server, tmp_path)
    assert server.asked == [None]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_whole_part_is_only_verified(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    fetch(server, tmp_path)
    assert server.asked == []
    assert os.listdir(tmp_path) == ["data.bin"]


def test_a_file_that_is_there_is_verified_and_kept(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT)
    fetch(server, tmp_path)
    assert server.asked == []
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(InputError, match="not as MusicNet has it"):
        fetch(server, tmp_path)


def test_an_answer_for_another_range_is_refused(server, tmp_path):
    server.content_range = f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match="expected bytes 1000 to the end"):
        fetch(server, tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]


def test_too_little_disk_is_said_before_anything_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match=r"needs 1\.28 MB of disk and has 0\.00 MB"):
        fetch(server, tmp_path)
    assert server.asked == []


def test_a_disk_that_fills_up_keeps_the_part(server, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_append", full)
    with pytest.raises(InputError, match="cannot store the download"):
        fetch(server, tmp_path)


@pytest.mark.parametrize(("status", "said"), [(404, "404"), (429, "429"), (503, "try again later")])
def test_what_the_server_refuses_is_one_line(server, tmp_path, status, said):
    server.status = status
    with pytest.raises(InputError, match=said):
        fetch(server, tmp_path)


def test_no_server_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(InputError, match="no connection"):
        download.download((FILE,), tmp_path, base_url="http://127.0.0.1:9/")


def test_an_interruption_says_how_to_resume(server, tmp_path, monkeypatch, caplog):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    monkeypatch.setattr(download, "_append", interrupted)
    caplog.set_level("WARNING", logger="absl")
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path)
    assert "the same command resumes" in caplog.text
    assert (tmp_path / "data.bin.part").exists()


@pytest.mark.parametrize("target", ["http://example.org/x", "ftp://example.org/x", "file:///etc/hostname"])
def test_a_redirect_out_of_https_is_refused(target):
    request = urllib.request.Request("https://example.org/a")
    with pytest.raises(InputError, match="not https"):
        download._HttpsStaysHttps().redirect_request(
            request, io.BytesIO(), 302, "Found", email.message.Message(), target
        )


def test_a_redirect_within_https_is_followed():
    request = urllib.request.Request("https://example.org/a")
    followed = download._HttpsStaysHttps().redirect_request(
        request, io.BytesIO(), 302, "Found", email.message.Message(), "https://example.net/b"
    )
    assert followed.full_url == "https://example.net/b"


def test_the_command_downloads_and_ends_in_exit_codes(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "FILES", (FILE,))
    arguments = [f"--out={tmp_path}", f"--base_url={server.url}"]
    assert download.command.run(download.define_flags, download.main, arguments) == 0
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert "pnet_tf.prepare" in capsys.readouterr().err
    (tmp_path / "data.bin").unlink()
    server.status = 500
    assert download.command.run(download.define_flags, download.main, arguments) == 1
    arguments[1] = "--base_url=file:///tmp"
    assert download.command.run(download.define_flags, download.main, arguments) == 2


@pytest.mark.attack
@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_at_any_byte_arrives_whole(server, tmp_path, record_property, ranges):
    """Broken off again and again at places all over the file, by an end or by a stall."""
    server.ranges = ranges
    random, n_faults = np.random.default_rng(0), 0
    for trial in range(60):
        out = tmp_path / str(trial)
        for n_bytes in random.integers(0, len(CONTENT), size=4):
            server.stop_after = int(n_bytes)
            had = (out / "data.bin.part").stat().st_size if (out / "data.bin.part").exists() else 0
            if ranges and had + n_bytes >= len(CONTENT):
                continue
            with pytest.raises(InputError, match="the same command resumes"):
                fetch(server, out)
            kept = (out / "data.bin.part").read_bytes()
            assert CONTENT.startswith(kept) and len(kept) == n_bytes + (had if ranges else 0)
            n_faults += 1
        server.stop_after = None
        fetch(server, out)
        assert os.listdir(out) == ["data.bin"] and (out / "data.bin").read_bytes() == CONTENT
    record_property("faults", n_faults)


@pytest.mark.attack
def test_a_flipped_bit_anywhere_on_the_way_is_noticed(server, tmp_path, record_property):
    positions = range(0, len(CONTENT), 9973)
    for position in positions:
        damaged = bytearray(CONTENT)
        damaged[position] ^= 1 << position % 8
        server.content = bytes(damaged)
        with pytest.raises(InputError, match="MD5 is .*: removed, start again"):
            fetch(server, tmp_path)
        assert os.listdir(tmp_path) == []
    record_property("faults", len(positions))


def test_the_files_are_those_of_musicnet():
    assert {(file.name, file.n_bytes) for file in download.FILES} == {
        ("musicnet.tar.gz", 11_097_394_998),
        ("musicnet_metadata.csv", 43_775),
        ("musicnet_midis.tar.gz", 2_601_302),
    }
    assert all(len(file.md5) == 32 for file in download.FILES)
