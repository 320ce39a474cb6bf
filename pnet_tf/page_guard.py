"""What stands before every request to the page: who may ask, for what, how much; and what every answer says to a browser."""

import contextlib
import dataclasses
import ipaddress
import pathlib
import re
import stat
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

# A browser that obeys this asks nobody else for anything. Gradio's own page needs scripts and styles within it.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "object-src 'none'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
# What Gradio's form needs of Gradio's interface; the rest serves, copies and fetches files for whoever asks.
_INTERFACE = re.compile(
    r"/gradio_api/(upload|upload_progress|run/predict|heartbeat/[^/]+|startup-events|app_id|theme\.css|info)/?"
)
_UPLOAD = "/gradio_api/upload"
# Of a form around one file, and of whatever else is posted.
_FORM_BYTES = 64 * 1024
_SWALLOWED_BYTES = 32 * 2**20
# A file that was uploaded is read sooner.
_YOUNG_SEC = 60.0


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Names and addresses under which the page may be asked for, so that no other name can be made to lead to it.

    Attributes:
      bound: the address that is listened on.
      named: what it was given as.
      allowed: other names, under which a server in front may be known; its pages may post even where it puts another Host.
    """

    bound: str
    named: str = ""
    allowed: tuple[str, ...] = ()

    def allow(self, host: str) -> bool:
        """Whether a Host header's value may be answered."""
        name = _name_of(host)
        if name and name in ("localhost", self.bound, self.named.lower(), *map(str.lower, self.allowed)):
            return True
        try:
            address, bound = ipaddress.ip_address(name), ipaddress.ip_address(self.bound)
        except ValueError:
            return False
        return bound.is_unspecified or address == bound or (address.is_loopback and bound.is_loopback)

    def allow_origin(self, origin: str, host: str) -> bool:
        """Whether a page of that origin may post."""
        place = urllib.parse.urlsplit(origin).netloc
        is_same = _without_usual_port(place) == _without_usual_port(host)
        return bool(place) and (is_same or _name_of(place) in map(str.lower, self.allowed))


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of files of strangers, each in a folder of its own.

    Attributes:
      path: its own.
      most_bytes: of all files together.
    """

    path: pathlib.Path
    most_bytes: int

    def make_room(self, n_bytes: int) -> bool:
        """Removes the oldest files, but for those that are to be read still, until so many bytes fit; whether they do."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files) + n_bytes
        for changed_at, size, path in files:
            if total <= self.most_bytes or time.time() - changed_at < _YOUNG_SEC:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                if path.parent != self.path:
                    path.parent.rmdir()
            total -= size
        return total <= self.most_bytes

    def _files(self) -> Iterator[tuple[float, int, pathlib.Path]]:
        """When each was changed, and what it counts for, a tiny one too."""
        for path in self.path.rglob("*"):
            with contextlib.suppress(OSError):  # it went meanwhile
                if stat.S_ISREG((found := path.lstat()).st_mode):
                    yield found.st_mtime, max(found.st_size, _FORM_BYTES), path


class Guard:
    """Refuses or passes on, and adds `_HEADERS`, as plain ASGI: what wraps streams would hide that somebody goes away."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, hosts: Hosts, uploads: Folder, upload_bytes: int) -> None:
        self._app, self._hosts, self._uploads, self._upload_bytes = app, hosts, uploads, upload_bytes

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """As ASGI calls an application."""

        async def send_on(message: Any) -> None:
            """Sends on, with more headers, and none that lets pages from elsewhere read."""
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if not pair[0].lower().startswith(b"access-control-")]
                message["headers"] = [*kept, *_HEADERS]
            await send(message)

        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and (refused := self._refusal(scope)):
            await _swallow(scope, receive)
            await _answer(send_on, *refused)
        else:
            await self._app(scope, receive, send_on)

    def _refusal(self, scope: Any) -> tuple[int, str] | None:
        """Status and words, or None."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._hosts.allow(hosts[0]):
            return 421, "The page is not known by this name; its owner can allow it with --allow_host."
        path = scope["path"]
        if path.startswith("/gradio_api") and not _INTERFACE.fullmatch(path):
            return 404, "There is nothing here."
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        if any(not self._hosts.allow_origin(origin, hosts[0]) for origin in _values(scope, b"origin")):
            return 403, "Another site's page may not do this."
        return self._refusal_of_body(scope, is_upload=path.rstrip("/") == _UPLOAD)

    def _refusal_of_body(self, scope: Any, *, is_upload: bool) -> tuple[int, str] | None:
        lengths = _values(scope, b"content-length")
        if _values(scope, b"transfer-encoding") or len(lengths) > 1:
            return 411, "Say how long it is."
        n_bytes = int(lengths[0]) if lengths and lengths[0].isdecimal() else 0
        if n_bytes > (self._upload_bytes if is_upload else 0) + _FORM_BYTES:
            return 413, "It is too large."
        if is_upload and not self._uploads.make_room(n_bytes):
            return 503, "Too much was uploaded in the last minute; try again soon."
        return None


def _name_of(host: str) -> str:
    """A Host header without its port and brackets."""
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]/@\s]*))(?::\d*)?", host.strip().lower())
    return (found[1] or found[2] or "").removesuffix(".") if found else ""


def _without_usual_port(place: str) -> str:
    return re.sub(r":(80|443)$", "", place.strip().lower())


def _values(scope: Any, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


async def _swallow(scope: Any, receive: Any) -> None:
    """Reads what is posted, up to some size: a browser that is still sending does not hear why it is refused."""
    n_bytes = 0
    while scope["method"] == "POST" and n_bytes < _SWALLOWED_BYTES:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if not message.get("more_body", False):
            return


async def _answer(send: Callable[[Any], Awaitable[None]], status: int, words: str) -> None:
    # Closed, for what is left of a large body is not read.
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
