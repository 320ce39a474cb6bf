"""Downloads MusicNet (11 GB) and checks it: resumes where it was stopped, and keeps nothing that is not whole.

    python tools/download_musicnet.py --out=DIR
"""

import dataclasses
import errno
import hashlib
import http.client
import os
import pathlib
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import tqdm
from absl import flags as absl_flags
from absl import logging

from pnet_tf import command
from pnet_tf.errors import InputError, UsageError
from pnet_tf.files import held

BASE_URL = "https://zenodo.org/records/5120004/files/"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_SEC = 60
# What has to come in that time. At this pace MusicNet would take four months.
_SLOWEST_BYTES = 1 << 16
_SPARE_BYTES = 64 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to download: its name, its size in bytes and its MD5 in hexadecimal."""

    name: str
    n_bytes: int
    md5: str


FILES = (
    RemoteFile("musicnet_metadata.csv", 43_775, "1caef62cee9c875235e62aac368b49d8"),
    RemoteFile("musicnet_midis.tar.gz", 2_601_302, "b5fa98a113bfc51c8a445def9f24dc7e"),
    RemoteFile("musicnet.tar.gz", 11_097_394_998, "844764911fa0d5b97c97da944a057590"),
)


class _HttpsStaysHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else, nor off the web."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request that follows a redirect.

        Raises:
          InputError: it would leave https, or the web.
        """
        allowed = ("https",) if _scheme(req.full_url) == "https" else ("https", "http")
        if _scheme(newurl) not in allowed:
            fp.close()
            raise InputError(f"{req.full_url}: redirected to {newurl}, which is not {allowed[-1]}: refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(files: tuple[RemoteFile, ...], out: pathlib.Path, *, base_url: str = BASE_URL) -> None:
    """Downloads files into a folder, each verified and then renamed from `NAME.part` to `NAME`.

    A file that is there already is verified and kept; a `.part` is continued.

    Args:
      files: what to download.
      out: the folder; made when it is missing.
      base_url: where the files lie, with a slash at the end.

    Raises:
      InputError: too little disk space, no connection or too slow a one, a file that ends too soon, has another length or
        differs from its MD5, another download into the same folder.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with held(out, taken=f"{out}: another download is running there; wait for it, or give another --out"):
            missing = [file for file in files if not _is_there(file, out)]
            _require_space(missing, out)
            for file in missing:
                _download_one(file, out, base_url)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some and start again, it goes on from there" if full else "choose another --out"
        raise InputError(f"{out}: cannot store the download ({error.strerror or error}); {advice}") from error


def _is_there(file: RemoteFile, out: pathlib.Path) -> bool:
    path = out / file.name
    if not path.exists():
        return False
    if path.stat().st_size != file.n_bytes or _md5_of(path, file) != file.md5:
        raise InputError(f"{path}: is there, but not as MusicNet has it (size or MD5); remove it and start again")
    logging.info("%s: is there and whole", path)
    return True


def _require_space(files: list[RemoteFile], out: pathlib.Path) -> None:
    needed = sum(max(file.n_bytes - _part_bytes(out, file), 0) for file in files)
    free = shutil.disk_usage(out).free
    if files and not os.access(out, os.W_OK):
        raise OSError(errno.EACCES, "not allowed to write there")
    logging.info("%s: %s to download, %s free", out, _readable(needed), _readable(free))
    if files and needed + _SPARE_BYTES > free:
        raise InputError(
            f"{out}: needs {_readable(needed)} of disk and has {_readable(free)}; free some or choose another --out"
        )


def _readable(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.2f} MB"


def _part(out: pathlib.Path, file: RemoteFile) -> pathlib.Path:
    return out / f"{file.name}.part"


def _part_bytes(out: pathlib.Path, file: RemoteFile) -> int:
    part = _part(out, file)
    return part.stat().st_size if part.exists() else 0


def _download_one(file: RemoteFile, out: pathlib.Path, base_url: str) -> None:
    part = _part(out, file)
    if _part_bytes(out, file) > file.n_bytes:
        part.unlink()
    try:
        if _part_bytes(out, file) < file.n_bytes:
            _fetch(file, part, urllib.parse.urljoin(base_url, file.name))
    except KeyboardInterrupt:
        logging.warning("%s: stopped; the same command resumes at %s", part, _readable(_part_bytes(out, file)))
        raise
    if (have := _part_bytes(out, file)) < file.n_bytes:
        raise InputError(f"{part}: the connection ended at {have} of {file.n_bytes} bytes; the same command resumes")
    if (md5 := _md5_of(part, file)) != file.md5:
        part.unlink()
        raise InputError(f"{file.name}: MD5 is {md5}, expected {file.md5}: removed, start again")
    part.rename(out / file.name)
    logging.info("%s: whole", out / file.name)


def _fetch(file: RemoteFile, part: pathlib.Path, url: str) -> None:
    """Appends to `part` what is missing of it; a connection that breaks leaves what has come so far."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "pnet_tf", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.build_opener(_HttpsStaysHttps).open(request, timeout=_TIMEOUT_SEC) as answer:
            start = _start_of(answer, have, file, url)
            if start < have:
                logging.info("%s: the server cannot resume, starting over", url)
            _append(answer, part, start, file)
    except urllib.error.HTTPError as error:
        error.close()
        reason = " ".join(str(error.reason).split())
        too_long = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        advice = f"remove {part.name} and start again" if too_long else "try again later"
        raise InputError(f"{url}: the server answers {error.code} ({reason}); {advice}") from error
    except urllib.error.URLError as error:
        raise InputError(f"{url}: no connection ({error.reason}); the same command resumes") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise InputError(f"{url}: the connection broke ({error!r}); the same command resumes") from error


def _start_of(answer: Any, have: int, file: RemoteFile, url: str) -> int:
    """At which byte of the file the server's answer begins; raises InputError where it is not of this file."""
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        # Before a part is given up for it: a network that wants a login answers everything with a page of its own.
        length = answer.headers.get("Content-Length")
        if length != str(file.n_bytes) and (have or length is not None):
            raise InputError(
                f"{url}: the server sends {length or 'an unknown number of'} bytes, expected {file.n_bytes}; look at that "
                "address in a browser, and check --base_url"
            )
        return 0
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != have or found[2] not in (str(file.n_bytes), "*"):
        raise InputError(
            f"{url}: the server sends {answer.headers.get('Content-Range')!r}, expected bytes {have} to the end of "
            f"{file.n_bytes}; remove {file.name}.part and start again"
        )
    return have


def _append(answer: http.client.HTTPResponse, part: pathlib.Path, start: int, file: RemoteFile) -> None:
    with (
        part.open("r+b" if start else "wb") as target,
        tqdm.tqdm(total=file.n_bytes, initial=start, unit="B", unit_scale=True, desc=file.name) as progress,
    ):
        target.seek(start)
        since, n_bytes = time.monotonic(), 0
        # One byte more than expected is enough to see that the file is another one.
        while block := answer.read1(min(_BLOCK_BYTES, file.n_bytes + 1 - target.tell())):
            target.write(block)
            progress.update(len(block))
            n_bytes += len(block)
            if (now := time.monotonic()) - since > _TIMEOUT_SEC:
                if n_bytes < _SLOWEST_BYTES:
                    raise TimeoutError(f"{n_bytes} bytes in {now - since:.0f} s")
                since, n_bytes = now, 0
        target.truncate()


def _md5_of(path: pathlib.Path, file: RemoteFile) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as source, tqdm.tqdm(
        total=file.n_bytes, unit="B", unit_scale=True, desc=f"checking {file.name}", leave=False
    ) as progress:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            progress.update(len(block))
    return digest.hexdigest()


def _scheme(url: str) -> str:
    return urllib.parse.urlsplit(url).scheme.lower()


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    absl_flags.DEFINE_string(
        "out", None, "Folder for the files, 11.1 GB; they are used packed.", flag_values=flags, required=True
    )
    absl_flags.DEFINE_string("base_url", BASE_URL, "Where the files lie.", flag_values=flags)


def main(flags: absl_flags.FlagValues) -> None:
    """Downloads MusicNet as the flags say.

    Raises:
      UsageError: the address is no web address.
      InputError: see `download`.
    """
    if _scheme(flags.base_url) not in ("https", "http"):
        raise UsageError(f"--base_url={flags.base_url}: expected an address that begins with https://")
    out = pathlib.Path(flags.out)
    download(FILES, out, base_url=flags.base_url.rstrip("/") + "/")
    logging.info("next: python -m pnet_tf.prepare --source=%s --instrument=violin --out=DIR", out / FILES[-1].name)


def console() -> None:
    """The console script."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
