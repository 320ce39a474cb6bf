"""Serves a page on which a score is given, performed and heard, on this machine alone unless told otherwise.

    python tools/serve.py

The page needs no network. Ctrl-C ends it.
"""

import contextlib
import logging as stdlib_logging
import os
import pathlib
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags as absl_flags
from absl import logging

from pnet_tf import command
from pnet_tf.errors import InputError, UsageError

_MOST_MINUTES = 240.0
_MOST_UPLOAD_MB = 64.0


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 lets others in.", flag_values=flags)
    absl_flags.DEFINE_multi_string(
        "allow_host", [], "A name that the page may be asked for by, as behind a proxy; again for several.", flag_values=flags
    )
    absl_flags.DEFINE_integer(
        "port", 7860, "Port to listen on; 0 takes a free one.", lower_bound=0, upper_bound=65535, flag_values=flags
    )
    absl_flags.DEFINE_multi_string("voice", [], "A voice to offer; again for several; all that are shipped.", flag_values=flags)
    absl_flags.DEFINE_float("max_minutes", 10.0, "The longest performance.", flag_values=flags)
    absl_flags.DEFINE_float("max_upload_mb", 5.0, "The largest file of a score.", flag_values=flags)
    absl_flags.DEFINE_integer(
        "max_notes", 20_000, "The most notes of a part.", lower_bound=1, upper_bound=1_000_000, flag_values=flags
    )
    absl_flags.DEFINE_integer(
        "max_waiting", 20, "Performances that may wait.", lower_bound=1, upper_bound=1000, flag_values=flags
    )


def main(flags: absl_flags.FlagValues) -> None:
    """Serves until it is stopped.

    Raises:
      UsageError: a flag's value cannot be used.
      InputError: the port is taken, Gradio is not installed, or a voice cannot be opened.
    """
    for name, most in (("max_minutes", _MOST_MINUTES), ("max_upload_mb", _MOST_UPLOAD_MB)):
        if not 0 < (value := flags[name].value) <= most:  # false for nan
            raise UsageError(f"--{name}={value:g}: expected above 0 and at most {most:g}")
    _be_private()
    with (
        _listening(flags.host, flags.port) as listener,
        command.unwinding_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="pnet-page-", ignore_cleanup_errors=True) as folder,
    ):
        _serve(flags, listener, pathlib.Path(folder))


def _be_private() -> None:
    """Before Gradio is imported: nothing is told, asked or fetched."""
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.update(GRADIO_SHARE="False", GRADIO_SSR_MODE="False", DO_NOT_TRACK="1")


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, before anything heavy is imported.

    Raises:
      InputError: the address cannot be bound.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
            yield listener
    except OSError as error:
        if isinstance(error, socket.gaierror):
            raise InputError(f"--host={host}: no such address ({error.strerror})") from error
        raise InputError(f"{host}:{port} cannot be listened on ({error.strerror}); give another --port or --host") from error


def _serve(flags: absl_flags.FlagValues, listener: socket.socket, folder: pathlib.Path) -> None:
    from pnet_tf.page_voices import Voices

    voices = Voices(flags.voice)
    for name in voices.names:
        voices.voice(name)  # one that is none ends it here
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    try:
        import gradio
        import uvicorn
    except ImportError as error:
        raise InputError(f'the page needs Gradio ({error}): python -m pip install "pnet_tf[demo]"') from error
    from pnet_tf import page, page_guard, page_routes
    from pnet_tf.page_desk import Bounds, Desk
    from pnet_tf.page_session import Stage

    for name in ("scores", "performances"):
        (folder / name).mkdir()
    stage = Stage(folder / "performances", most_waiting=flags.max_waiting)
    bounds = Bounds(flags.max_minutes, flags.max_upload_mb, flags.max_notes)
    desk = Desk(voices, stage, folder / "scores", uploads=folder / "uploads", bounds=bounds)
    host, port = listener.getsockname()[:2]
    hosts = page_guard.Hosts(host, flags.host, tuple(flags.allow_host))
    uploads = page_guard.Folder(folder / "uploads", bounds.most_together_bytes)
    app = page_routes.make_app(stage, hosts=hosts, uploads=uploads, upload_bytes=bounds.upload_bytes)
    app = gradio.mount_gradio_app(app, page.build(desk), path="/", **page.look(), **_mounted(bounds, listener))
    shown = f"[{host}]" if ":" in host else host
    logging.info("listening on http://%s:%d/ (the voices get ready meanwhile); Ctrl-C ends it", shown, port)
    try:
        stage.start(desk.warm)
        _run(uvicorn, app, listener, stage.end)
    finally:
        stage.close()


def _mounted(bounds: Any, listener: socket.socket) -> dict[str, Any]:
    host, port = listener.getsockname()[:2]
    return {
        "server_name": host,
        "server_port": port,
        "max_file_size": bounds.upload_bytes,
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "pwa": False,
        "app_kwargs": {"openapi_url": None, "docs_url": None, "redoc_url": None},
        "show_error": False,
    }


def _run(uvicorn: Any, app: Any, listener: socket.socket, on_end: Callable[[], None]) -> None:
    class Server(uvicorn.Server):
        """One that calls no fault what it breaks off itself: pages that are still open when it ends."""

        async def shutdown(self, *arguments: Any, **named: Any) -> None:
            """As its base, in silence; performances end meanwhile."""
            on_end()
            stdlib_logging.getLogger("uvicorn.error").setLevel(stdlib_logging.CRITICAL)
            await super().shutdown(*arguments, **named)

    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="on")
    Server(config).run(sockets=[listener])


def console() -> None:
    """`pnet-serve`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
