"""What the page's player fetches beside Gradio's own: its script and style, performances while they are made, their files."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pnet_tf import page_live, page_words
from pnet_tf.page_session import WAITING, Job, Stage

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC = pathlib.Path(__file__).parent / "page_static"
FILES = {"sound.wav": "audio/wav", "picture.png": "image/png"}
_POLL_SEC = 0.05
# Also what keeps proxies and the browser from giving up on a page that waits.
_PLACE_SEC = 1.0
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


def make_app(stage: Stage) -> "FastAPI":
    """The application that Gradio's is mounted on.

    Args:
      stage: that plays.
    """
    from fastapi import FastAPI
    from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
    from fastapi.staticfiles import StaticFiles

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(_WithHeaders)
    app.mount("/page", StaticFiles(directory=STATIC), name="page")

    @app.get("/performances/{token}/live")
    async def live(token: str) -> Response:
        """A performance while it is made; whoever goes away stops it."""
        job = stage.find(token)
        if job is None or job.listened:
            return _gone()
        job.listened = True
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_messages(stage, job), media_type="application/octet-stream", headers=headers)

    @app.post("/performances/{token}/stop")
    async def stop(token: str) -> Response:
        """Stops a performance."""
        if (job := stage.find(token)) is not None:
            stage.stop(job)
        return Response(status_code=204)

    @app.get("/performances/{token}/{name}")
    async def file(token: str, name: str) -> Response:
        """The sound or the picture of a performance."""
        job = stage.find(token)
        if job is None or name not in FILES or not (path := job.folder / name).is_file():
            return _gone()
        saved_as = f"{job.name}{pathlib.PurePath(name).suffix}"
        kind = "inline" if name.endswith(".wav") else "attachment"
        return FileResponse(path, media_type=FILES[name], filename=saved_as, content_disposition_type=kind)

    def _gone() -> Response:
        return PlainTextResponse("This performance is not kept any more; perform it again.", status_code=404)

    return app


class _WithHeaders:
    """Adds `_HEADERS` to every answer, as plain ASGI: what wraps streams would hide that somebody goes away."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """As ASGI calls an application."""

        async def send_on(message: Any) -> None:
            """Sends on, with more headers."""
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_on)


async def _messages(stage: Stage, job: Job) -> AsyncIterator[bytes]:
    """What a job sends, to its end; its place while it waits. Closed early, it stops the job."""
    told_at, loop = -_PLACE_SEC, asyncio.get_running_loop()
    try:
        while True:
            over = job.is_over  # before fetching, so that nothing is left behind
            for message in job.fetch():
                yield message
            if over:
                return
            if loop.time() - told_at >= _PLACE_SEC:
                told_at = loop.time()
                if job.state == WAITING:
                    place = stage.place(job)
                    words = page_words.place_sentence(place)
                    yield page_live.say(type="waiting", place=place, words=words, preparing=stage.is_preparing)
                else:
                    yield page_live.say(type="alive")
            await asyncio.sleep(_POLL_SEC)
    finally:
        if not job.is_over:
            stage.stop(job)
