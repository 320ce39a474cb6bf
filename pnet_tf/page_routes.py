"""What the page's player fetches beside Gradio's own: its script and style, performances while they are made, their files."""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from pnet_tf import page_live, page_words
from pnet_tf.page_guard import Folder, Guard, Hosts
from pnet_tf.page_session import WAITING, Job, Stage

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC = pathlib.Path(__file__).parent / "page_static"
FILES = {"sound.wav": "audio/wav", "picture.png": "image/png"}
_POLL_SEC = 0.05
# Also what keeps proxies and the browser from giving up on a page that waits.
_PLACE_SEC = 1.0


def make_app(stage: Stage, *, hosts: Hosts, uploads: Folder, upload_bytes: int) -> "FastAPI":
    """The application that Gradio's is mounted on.

    Args:
      stage: that plays.
      hosts: under which it may be asked for.
      uploads: where Gradio puts uploads.
      upload_bytes: size of one.
    """
    from fastapi import FastAPI
    from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
    from fastapi.staticfiles import StaticFiles

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, hosts=hosts, uploads=uploads, upload_bytes=upload_bytes)
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
        job.drop()
