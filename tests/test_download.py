"""The download resumes, verifies, and keeps nothing that is not whole; the server is one of our own on the loopback."""

import contextlib
import email.message
import hashlib
import http.server
import io
import os
import threading
import urllib.request

import pytest

from pnet_tf import download
from pnet_tf.download import RemoteFile
from pnet_tf.errors import InputError

CONTENT = bytes(range(256)) * 5000
FILE = RemoteFile("data.bin", len(CONTENT), hashlib.md5(CONTENT).hexdigest())


class Server:
    """Serves CONTENT; `asked` holds the Range header of each request."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.ranges = True
        self.stop_after: int | None = None
        self.content = CONTENT
        self.content_range: str | None = None
        self.status: int | None = None
        self.url = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        if self.status:
            handler.send_error(self.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            of = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            handler.send_header("Content-Range", self.content_range or of)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(body[: self.stop_after])


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
    with pytest.raises(InputError, match="MD5"):
        fetch(server, tmp_path)
    assert os.listdir(tmp_path) == []


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


def test_the_files_are_those_of_musicnet():
    assert {(file.name, file.n_bytes) for file in download.FILES} == {
        ("musicnet.tar.gz", 11_097_394_998),
        ("musicnet_metadata.csv", 43_775),
        ("musicnet_midis.tar.gz", 2_601_302),
    }
    assert all(len(file.md5) == 32 for file in download.FILES)
