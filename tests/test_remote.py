"""Paths that only TensorFlow's file systems reach, tried on the one that lies in memory (ram://)."""

import gzip
import hashlib
import http.server
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import types
import uuid
import zipfile

import pytest
import tensorflow as tf

from pnet_tf import remote
from pnet_tf.errors import InputError
from pnet_tf.remote import RemotePath, path_of


@pytest.fixture
def root():
    return path_of(f"ram://test-{uuid.uuid4().hex}")


@pytest.fixture
def file(root):
    path = root / "folder" / "take.1.WAV"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(range(256)) * 20000)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gs://bucket/data/", RemotePath("gs://bucket/data")),
        ("S3://Bucket/Data", RemotePath("s3://Bucket/Data")),
        ("hdfs://host:9000/a b", RemotePath("hdfs://host:9000/a b")),
        ("file:///tmp/x", pathlib.Path("/tmp/x")),
        ("data/violin", pathlib.Path("data/violin")),
        ("c:/odd://name", pathlib.Path("c:/odd://name")),
        (pathlib.Path("a"), pathlib.Path("a")),
        (RemotePath("gs://a"), RemotePath("gs://a")),
    ],
    ids=str,
)
def test_a_url_is_remote_and_all_else_local(text, expected):
    assert path_of(text) == expected


@pytest.mark.parametrize("text", ["gs://", "s3:///"])
def test_a_url_of_nothing_is_refused(text):
    with pytest.raises(InputError, match=f"^{text}: names no bucket or host"):
        path_of(text)


def test_the_parts_of_a_name(file):
    assert (file.name, file.stem, file.suffix) == ("take.1.WAV", "take.1", ".WAV")
    assert str(file.with_name("b")) == f"{file.parent}/b" == f"{file.parent / 'b'}"
    assert str(path_of("gs://bucket") / "a") == "gs://bucket/a"
    assert remote.absolute(file) == file
    assert remote.absolute(pathlib.Path("a")) == pathlib.Path.cwd() / "a"


def test_what_opens_local_files_refuses_it(file):
    with pytest.raises(TypeError):
        open(file)


def test_files_and_folders_are_told_apart(root, file):
    assert file.exists() and file.is_file() and not file.is_dir()
    assert file.parent.exists() and file.parent.is_dir() and not file.parent.is_file()
    assert not any(test() for test in ((root / "no").exists, (root / "no").is_dir, (root / "no").is_file))
    (file.parent / "b.txt").write_text("ä")
    assert [path.name for path in file.parent.iterdir()] == ["b.txt", "take.1.WAV"]
    assert [path.name for path in file.parent.glob("*.txt")] == ["b.txt"]
    assert (file.parent / "b.txt").read_text() == "ä"
    assert pickle.loads(pickle.dumps(file)) == file


def test_size_and_time_are_those_of_the_file_system(file, monkeypatch):
    """The one in memory keeps no times."""
    assert file.stat() == remote.Status(st_size=5120000, st_mtime_ns=0)
    found = types.SimpleNamespace(length=7, mtime_nsec=1700000000123456789)
    monkeypatch.setattr(tf.io.gfile, "stat", lambda path: found)
    assert file.stat() == remote.Status(st_size=7, st_mtime_ns=1700000000123456789)


def test_it_reads_as_a_file_of_python_does(file):
    data = file.read_bytes()
    with file.open("rb") as opened:
        assert opened.read(3) == data[:3]
        opened.seek(-2, 2)
        assert (opened.tell(), opened.read()) == (len(data) - 2, data[-2:])
        opened.seek(1000000)
        assert opened.read(5) == data[1000000:1000005]
    with file.open("rb") as opened:
        assert hashlib.file_digest(opened, "sha256").hexdigest() == hashlib.sha256(data).hexdigest()


def test_archives_are_read_from_it(root):
    root.mkdir(parents=True, exist_ok=True)
    (root / "a.gz").write_bytes(gzip.compress(b"x" * 100000))
    with gzip.open((root / "a.gz").open("rb")) as file:
        assert file.read() == b"x" * 100000
    with (root / "a.zip").open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one", "content")
    with (root / "a.zip").open("rb") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("one") == b"content"


def test_renaming_replaces_and_removing_removes(file):
    other = file.with_name("other")
    other.write_text("old")
    file.replace(other)
    assert not file.exists() and other.stat().st_size == 5120000
    other.unlink()
    other.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        other.unlink()
    remote.remove_tree(file.parent)
    assert not file.parent.exists()


@pytest.mark.parametrize("call", ["read_bytes", "stat", "unlink"])
def test_what_is_missing_is_named(root, call):
    with pytest.raises(FileNotFoundError) as caught:
        getattr(root / "no" / "file", call)()
    assert caught.value.filename == f"{root}/no/file"
    assert caught.value.strerror == "No such file or directory"


def test_a_folder_that_is_not_there_is_empty(root):
    """An object store forgets a folder with the last file in it."""
    assert list((root / "no").iterdir()) == []
    remote.remove_tree(root / "no")


def test_a_file_in_the_place_of_a_folder_is_refused(file):
    with pytest.raises(FileExistsError):
        file.mkdir(parents=True, exist_ok=True)


def test_only_what_it_can_do_is_asked_of_it(file):
    for wrong in (lambda: file.open("r"), lambda: file.mkdir()):
        with pytest.raises(ValueError):
            wrong()


@pytest.mark.parametrize(
    ("raised", "kind", "number"),
    [
        (tf.errors.PermissionDeniedError, PermissionError, 13),
        (tf.errors.UnauthenticatedError, PermissionError, 13),
        (tf.errors.ResourceExhaustedError, OSError, 28),
        (tf.errors.UnavailableError, remote.RemoteError, 5),
    ],
)
def test_what_a_service_answers_is_an_error_of_the_system(file, monkeypatch, raised, kind, number):
    def refuse(path):
        raise raised(None, None, "two\nlines")

    monkeypatch.setattr(tf.io.gfile, "stat", refuse)
    with pytest.raises(kind) as caught:
        file.stat()
    assert (caught.value.errno, caught.value.filename) == (number, str(file))
    assert "\n" not in caught.value.strerror
    assert type(pickle.loads(pickle.dumps(caught.value))) is kind


def test_an_unknown_kind_of_url_says_what_is_known():
    with pytest.raises(InputError, match=r"^nosuch://: no file system that TensorFlow opens; .* gs://.* s3://"):
        path_of("nosuch://a/b").exists()


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_a_copy_is_whole_or_not_there(file, tmp_path, monkeypatch, kind):
    folder = tmp_path if kind == "local" else file.parent
    remote.copy_whole(file, folder / "copy", landing=folder)
    assert (folder / "copy").read_bytes() == file.read_bytes()

    def fail(reader, writer, length):
        writer.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remote.shutil, "copyfileobj", fail)
    before = sorted(path.name for path in folder.iterdir())
    for target in ("copy", "second"):
        with pytest.raises(OSError, match="No space left"):
            remote.copy_whole(file, folder / target, landing=folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "copy").stat().st_size == 5120000


@pytest.mark.slow
def test_a_program_that_used_s3_ends_with_its_own_exit_code():
    """It asks a service that has nothing."""

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    program = (
        "import sys; from pnet_tf import remote; remote._gfile_for('s3').isdir('s3://bucket/x'); print('end'); sys.exit(7)"
    )
    settings = {"S3_ENDPOINT": f"http://127.0.0.1:{service.server_port}", "AWS_EC2_METADATA_DISABLED": "true"}
    settings |= {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **settings})
    service.shutdown()
    service.server_close()
    assert (done.returncode, done.stdout) == (7, "end\n")


def test_a_local_path_brings_no_tensorflow(tmp_path):
    program = (
        "import sys; from pnet_tf import files, remote; path = remote.path_of(sys.argv[1]);"
        "files.write_whole(path / 'a', 'b'); assert (path / 'a').read_text() == 'b'; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
