"""The page: a score goes in, its sound comes out; the layout, on Gradio, and what its controls call."""

import dataclasses
import html
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pnet_tf import page_desk, page_words
from pnet_tf.errors import InputError
from pnet_tf.page_desk import Choice, Desk, Wishes
from pnet_tf.page_routes import STATIC

if TYPE_CHECKING:
    import gradio

TITLE = "Hear a score"
# Of a tab: the copy of its score goes some time after it was closed.
_KEPT_SEC = 3600
_TEMPO = f"Tempo, {page_words.SLOWEST:g} to {page_words.FASTEST:g} (1 is as written, 2 twice as fast)"
_TRANSPOSITION = f"Transposition in semitones, −{page_words.MOST_SEMITONES} to {page_words.MOST_SEMITONES}"
# In the time that a good one takes; docs/page.md holds what was measured.
_QUALITIES = {"quick": "Quick (takes half as long)", "good": "Good", "best": "Best (takes three times as long)"}
HEAD = '<link rel="stylesheet" href="/page/page.css"><script type="module" src="/page/page.js"></script>'
# What the page's own script found larger than this page takes.
_LARGE = "(_, choice) => [window.pnetPage.tooLarge, choice]"
# They give nothing back to wait for: Gradio takes no second click before the first is done with.
_SHOW = "(piece) => { window.pnetPage.show(piece); return []; }"
_PROPOSE = "(piece) => { window.pnetPage.propose(piece); return []; }"
_LISTEN = "(performance) => { window.pnetPage.listen(performance); return []; }"


@dataclasses.dataclass(frozen=True)
class Controls:
    """The components that events read and write, by what they hold."""

    upload: Any
    large: Any
    large_name: Any
    example: Any
    voice: Any
    part: Any
    tempo: Any
    semitones: Any
    fits: Any
    quality: Any
    notice: Any
    perform: Any
    choice: Any
    piece: Any
    performance: Any


def build(desk: Desk) -> "gradio.Blocks":
    """The page, to be mounted.

    Args:
      desk: does what the controls ask for.
    """
    import gradio as gr

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(_KEPT_SEC // 4, _KEPT_SEC)) as blocks:
        gr.HTML(_intro(desk), elem_id="pnet-intro")
        controls = _lay_out(gr, desk)
        _connect(gr, controls, desk)
    # As `launch` does and mounting does not: before it, Gradio takes any path on this machine for an upload.
    blocks.has_launched = True
    return blocks


def look() -> dict[str, Any]:
    """Theme and head for whoever mounts the page: fonts of the system alone, nothing from elsewhere."""
    import gradio as gr

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    theme = gr.themes.Base(primary_hue="sky", neutral_hue="slate", **fonts)
    return {"theme": theme, "head": HEAD, "footer_links": [], "favicon_path": str(STATIC / "favicon.svg")}


def _intro(desk: Desk) -> str:
    names = _listed(desk.voices.names)
    # The page's script keeps back what is larger.
    most_bytes = int(desk.bounds.max_upload_mb * 1e6)
    return (
        f'<header data-most-bytes="{most_bytes}"><h1>{html.escape(TITLE)}</h1><p>Give a score, choose who plays it '
        f"({html.escape(names)}), and listen. Each voice is a small network that learnt one instrument; it plays one part at a "
        "time.</p></header>"
    )


def _listed(names: Sequence[str]) -> str:
    """`cello, flute or violin`."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _lay_out(gr: Any, desk: Desk) -> Controls:
    bounds = desk.bounds
    with gr.Group(elem_id="pnet-score"):
        upload = gr.File(
            label=f"A score: MIDI or MusicXML, up to {bounds.max_upload_mb:g} MB", elem_id="pnet-upload", height=150
        )
        large = gr.Button("Too large", visible="hidden", elem_id="pnet-large")
        example = gr.Radio(list(desk.examples()), label="Or an example", elem_id="pnet-example")
    with gr.Group(elem_id="pnet-wishes"):
        voice = gr.Radio(list(desk.voices.names), value=desk.voices.names[-1], label="Voice", elem_id="pnet-voice")
        # Radio buttons, which browsers know: Gradio's list of choices stays open when Tab leaves it.
        part = gr.Radio([], label="Part", visible=False, elem_id="pnet-part")
        with gr.Row(elem_id="pnet-numbers"):
            # Without bounds of Gradio's, and not its sliders, which change what was typed or raise "Error".
            tempo = gr.Number(1, step=0.05, label=_TEMPO, elem_id="pnet-tempo")
            semitones = gr.Number(0, step=1, label=_TRANSPOSITION, elem_id="pnet-semitones")
        fits = gr.Checkbox(False, label="Transpose as fits the voice best", elem_id="pnet-fits")
        qualities = [(label, name) for name, label in _QUALITIES.items()]
        quality = gr.Radio(qualities, value="good", label="Quality of the sound", elem_id="pnet-quality")
    notice = gr.HTML("", elem_id="pnet-notice-box")
    perform = gr.Button("Perform", variant="primary", interactive=False, elem_id="pnet-perform")
    gr.HTML((STATIC / "player.html").read_text(encoding="utf-8"), elem_id="pnet-player-box")
    choice = gr.State(None, time_to_live=_KEPT_SEC, delete_callback=lambda choice: choice and desk.forget(choice.path))
    hidden = [choice, gr.JSON(visible=False), gr.JSON(visible=False)]
    large_name = gr.Textbox(visible=False)
    return Controls(upload, large, large_name, example, voice, part, tempo, semitones, fits, quality, notice, perform, *hidden)


# --- events


def _connect(gr: Any, controls: Controls, desk: Desk) -> None:
    c = controls
    wishes = [c.voice, c.tempo, c.semitones, c.fits, c.quality]
    shown = [c.notice, c.perform, c.piece]
    # Not by Gradio's queue, which now and then loses an event that comes while it closes its stream of answers after the one
    # before, as a click right after a field was left does. How much is read at a time is `page_reading`'s to bound.
    direct = {"queue": False, "api_visibility": "private"}
    hidden = {**direct, "show_progress": "hidden"}

    def take(request: gr.Request, path: str | None, choice: Choice | None, *wished: Any) -> list[Any]:
        """A score was given."""
        file = pathlib.Path(path) if path else None
        who = request.session_hash
        return [None, *_take(gr, desk, file, file.name if file else "", choice, wished, who), None]

    def take_example(request: gr.Request, name: str | None, choice: Choice | None, *wished: Any) -> list[Any]:
        """An example was chosen."""
        file = desk.examples().get(name or "")
        return [None, *_take(gr, desk, file, name or "", choice, wished, request.session_hash)]

    def take_large(name: str | None, choice: Choice | None) -> list[Any]:
        """A file was given that is too large to be sent."""
        return [*_take_large(gr, desk, name or "", choice), None]

    def take_part(request: gr.Request, number: int | None, choice: Choice | None, *wished: Any) -> list[Any]:
        """Another part was chosen."""
        return [None, *_take_part(gr, desk, number, choice, wished, request.session_hash)]

    def show(choice: Choice | None, *wished: Any) -> list[Any]:
        """Something is to be played in another way."""
        return _shown(gr, desk, choice, wished, typing=True)

    def begin(request: gr.Request, choice: Choice | None, *wished: Any) -> list[Any]:
        """A performance is asked for."""
        return _begin(gr, desk, choice, wished, request.session_hash)

    # The place for a file is empty again once the file is read: the notice names it, and the next may come.
    taken = [c.upload, c.choice, c.part, c.voice, *shown]
    reading = {**direct, "show_progress": "minimal"}
    # One event for all of them, so that answers come in turn; of many changes the last counts.
    changes = [event for wish in wishes[:4] for event in (wish.input, *_left(wish))]
    changed = gr.on(changes, show, [c.choice, *wishes], shown, trigger_mode="always_last", **hidden)
    events = [
        (c.upload.upload(take, [c.upload, c.choice, *wishes], [*taken, c.example], **reading), _SHOW),
        (c.example.input(take_example, [c.example, c.choice, *wishes], taken, **hidden), _SHOW),
        (c.part.input(take_part, [c.part, c.choice, *wishes], taken, **hidden), _SHOW),
        (c.large.click(take_large, [c.large_name, c.choice], [*taken[1:], c.example], js=_LARGE, **hidden), _SHOW),
        (changed, _PROPOSE),
    ]
    for event, script in events:
        event.then(None, [c.piece], None, js=script, **direct)
    begun = c.perform.click(begin, [c.choice, *wishes], [c.performance, c.notice], trigger_mode="once", **hidden)
    begun.then(None, [c.performance], None, js=_LISTEN, **direct)


def _left(control: Any) -> list[Any]:
    """Events of a field that was left, where it can be: Gradio tells no `input` of one that was emptied."""
    return [control.blur, control.submit] if hasattr(control, "blur") else []


def _wishes(voice: str, tempo: float | None, semitones: float | None, fits: bool, quality: str) -> Wishes:
    """What the controls say. Gradio refuses what is not among the choices of a control.

    Raises:
      InputError: a number is none that can be played, in the words of `page_words`.
    """
    if wrong := page_words.wrong_wish(tempo, 0 if fits else semitones):
        raise InputError(wrong)
    return Wishes(voice, None if fits else int(semitones), float(tempo), page_desk.QUALITIES[quality])


def _take_large(gr: Any, desk: Desk, name: str, before: Choice | None) -> list[Any]:
    """As `_take`, for a file that the browser kept back."""
    if before is not None:
        desk.forget(before.path)
    nothing = gr.update(visible=False, choices=[], value=None)
    return [None, nothing, gr.skip(), *_refused(gr, page_words.too_large(name, desk.bounds.max_upload_mb))]


def _take(
    gr: Any,
    desk: Desk,
    path: pathlib.Path | None,
    name: str,
    before: Choice | None,
    wished: Sequence[Any],
    who: str | None = None,
) -> list[Any]:
    """Choice, part, voice, and what is shown, for the session `who`."""
    if before is not None:
        desk.forget(before.path)
    nothing = gr.update(visible=False, choices=[], value=None)
    if path is None:
        return [None, nothing, gr.skip(), *_shown(gr, desk, None, wished)]
    try:
        choice = desk.choose(path, name, who)
    except InputError as error:
        return [None, nothing, gr.skip(), *_refused(gr, str(error))]
    parts = choice.found.parts
    labels = [(page_words.part_label(parts, number), number) for number in range(1, len(parts) + 1)]
    part = gr.update(visible=len(parts) > 1, choices=labels, value=choice.found.number if parts else None)
    voice = desk.voice_for(choice) or wished[0]
    return [choice, part, voice, *_shown(gr, desk, choice, (voice, *wished[1:]))]


def _take_part(
    gr: Any, desk: Desk, number: int | None, choice: Choice | None, wished: Sequence[Any], who: str | None = None
) -> list[Any]:
    if choice is None or number is None:
        return [choice, gr.skip(), gr.skip(), *_shown(gr, desk, choice, wished)]
    try:
        choice = desk.choose_part(choice, number, who)
    except InputError as error:
        return [choice, gr.skip(), gr.skip(), *_refused(gr, str(error))]
    return [choice, gr.skip(), gr.skip(), *_shown(gr, desk, choice, wished)]


def _shown(gr: Any, desk: Desk, choice: Choice | None, wished: Sequence[Any], *, typing: bool = False) -> list[Any]:
    """Notice, button and piece; the last piece stays where what is wrong may be half of a number."""
    if choice is None:
        return ["", gr.update(interactive=False), None]
    try:
        found = desk.show(choice, _wishes(*wished))
    except InputError as error:
        notice = page_words.notice_html(choice.name, [str(error)], kind="warning")
        return [notice, gr.update(interactive=False), gr.skip() if typing else None]
    title = f"{choice.name}: {found['piece']['summary']}." if found["piece"] else choice.name
    kind = "warning" if found["problems"] else "good"
    notice = page_words.notice_html(title, [*found["problems"], *found["remarks"]], kind=kind)
    return [notice, gr.update(interactive=found["playable"]), found["piece"]]


def _refused(gr: Any, message: str) -> list[Any]:
    return [page_words.notice_html("", [message], kind="error"), gr.update(interactive=False), None]


def _begin(gr: Any, desk: Desk, choice: Choice | None, wished: Sequence[Any], who: str | None = None) -> list[Any]:
    """What the player is to listen to, and a notice."""
    if choice is None:
        return [None, page_words.notice_html("", ["Give a score first, or choose an example."], kind="error")]
    try:
        wishes = _wishes(*wished)
        piece = desk.show(choice, wishes)["piece"]
        job = desk.begin(choice, wishes, who)
    except InputError as error:
        return [None, page_words.notice_html("", [str(error)], kind="error")]
    return [{"url": f"/performances/{job.token}", "name": job.name, "piece": piece}, gr.skip()]
