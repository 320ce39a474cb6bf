"""What the page says, in a musician's words: what cannot be played, which parts there are, why a file is refused."""

import html
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pnet_tf import panels
from pnet_tf.instruments import RANGES
from pnet_tf.score import SUFFIXES, Score

if TYPE_CHECKING:
    from pnet_tf.perform_fit import Fit

_NAMED_PITCHES = 8
_NAME_CHARACTERS = 80
_OTHERS = ("notes of other", "other parts")
_FORMATS = "MIDI (.mid), MusicXML (.musicxml, .xml, .mxl), kern, ABC or MEI"
# What a reader's message says to somebody at a command line.
_HINT = re.compile(r"\s*[,;(]?[^,;()]*--\w+[^,;()]*\)?|; export (it|the score) again|\s*\(begins with .*?\), expected .*$")


def display_name(file_name: str) -> str:
    """The name of an uploaded file as it is shown: no folders, no control characters, not too long. Not escaped."""
    name = "".join(char if char.isprintable() else " " for char in re.split(r"[\\/]", file_name)[-1]).strip()
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"


def clock(seconds: float) -> str:
    """`1:05` for 65 seconds."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def refusal(message: str, path: pathlib.Path, name: str) -> str:
    """Why a file is refused, without the paths and flags of the reader's message.

    Args:
      message: of the `InputError`.
      path: of the file as it was read.
      name: what its owner calls it.
    """
    shown = f"“{display_name(name)}”"
    if "not a readable score" in message:
        return f"{shown} is not a score that can be read here. Give {_FORMATS}."
    if "file is empty" in message:
        return f"{shown} is empty."
    if "no pitched notes" in message:
        return f"{shown} holds no notes with a pitch; there is nothing for an instrument to play."
    reason = message.replace(f"{path}: ", "").replace(str(path), "the file").replace(str(path.parent), "")
    reason = _HINT.sub("", reason.strip()).strip(" ,;:") or "the file is damaged"
    return f"{shown} cannot be read: {reason}. Export it again from your notation program, or try another format."


def unknown_suffix(name: str) -> bool:
    """Whether a file's name already says that it is no score."""
    return pathlib.PurePath(display_name(name)).suffix.lower() not in SUFFIXES


def too_large(name: str, max_upload_mb: float) -> str:
    """Why a file of too many bytes is refused."""
    return f"“{display_name(name)}” is larger than {max_upload_mb:g} MB, the most that this page takes. Is it a recording?"


def too_long(seconds: float, max_minutes: float) -> str:
    """Why a score is not performed at this tempo."""
    return (
        f"It would last {clock(seconds)}; this page plays up to {clock(max_minutes * 60)} minutes. Choose a faster tempo, or cut "
        "the score."
    )


def too_many_notes(max_notes: int) -> str:
    """Why a score of too many notes is refused."""
    return f"The part has more than {max_notes} notes, the most that this page plays. Cut the score."


def parts_sentence(parts: Sequence[str], number: int) -> str:
    """Which parts a score has, and which one plays; empty for a score of one part."""
    if len(parts) < 2:
        return ""
    return f"The score has {len(parts)} parts; one plays at a time. Now playing: {parts[number - 1]}."


def part_label(parts: Sequence[str], number: int) -> str:
    """How a part is offered: `2. Violin II`."""
    return f"{number}. {display_name(parts[number - 1])}"


def guess_part(parts: Sequence[str], instruments: Sequence[str]) -> int:
    """Number, from 1, of the part to begin with: the first that is named after a voice, or the first."""
    named = (number for number, part in enumerate(parts, 1) if any(name in part.casefold() for name in instruments))
    return next(named, 1)


def fit_sentences(fit: "Fit", instrument: str, *, easier: int | None) -> list[str]:
    """What cannot be played well, a sentence each; empty where all can.

    Args:
      fit: the score as it is going to be played.
      instrument: that plays it.
      easier: a transposition, in semitones, at which fewer notes are wrong; None where there is none.
    """
    lowest, highest = RANGES.get(instrument, (0, 127))
    low = {pitch: n for pitch, n in fit.outside.items() if pitch < lowest}
    high = {pitch: n for pitch, n in fit.outside.items() if pitch > highest}
    said = []
    if low:
        said.append(f"Too low for a {instrument}: {_few(low)}. Its lowest note is {panels.pitch_name(lowest)}.")
    if high:
        said.append(f"Too high for a {instrument}: {_few(high)}. It reaches up to {panels.pitch_name(highest)}.")
    if fit.unheard:
        said.append(f"New to this {instrument}, which never heard them when it learnt, and likely weak: {_few(fit.unheard)}.")
    if fit.n_lost:
        said.append(f"{_notes(fit.n_lost)} lie beyond any instrument at this transposition, and are left out.")
    if said and easier is not None:
        said.append(f"It fits better {interval(easier)}.")
    return said


def interval(semitones: int) -> str:
    """A transposition from the written pitch, in words: `an octave higher than written`."""
    if not semitones:
        return "as written"
    where = "higher" if semitones > 0 else "lower"
    octaves, rest = divmod(abs(semitones), 12)
    words = [("an octave" if octaves == 1 else f"{octaves} octaves")] if octaves else []
    words += [("a semitone" if rest == 1 else f"{rest} semitones")] if rest else []
    return f"{' and '.join(words)} {where} than written"


def ignored_sentence(score: Score) -> str:
    """What the score holds and the voice does not perform; empty where that is nothing."""
    reasons = [f"{reason} ({n})" for reason, n in score.ignored.items() if not reason.startswith(_OTHERS)]
    return f"In the score, but not performed: {', '.join(reasons)}." if reasons else ""


def summary(score: Score) -> str:
    """One line on what is going to be played: `63 notes from G3 to E5, 0:32`."""
    pitches = [note.pitch for note in score.notes]
    span = " to ".join(dict.fromkeys(panels.pitch_name(pitch) for pitch in (min(pitches), max(pitches))))
    return f"{_notes(len(pitches))} from {span}, {clock(float(score.end_sec))}"


def place_sentence(place: int) -> str:
    """What somebody who waits is told: how many are before them."""
    return "Next to play." if place <= 1 else f"Waiting: {place - 1} before you."


def notice_html(title: str, sentences: Sequence[str], *, kind: str) -> str:
    """A box of sentences, all of it escaped; empty where there is nothing to say.

    Args:
      title: above them.
      sentences: plain text.
      kind: `good`, `warning` or `error`, a class of the style sheet.
    """
    if not title and not sentences:
        return ""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences if sentence)
    role = "alert" if kind == "error" else "status"
    return f'<div class="pnet-notice pnet-{kind}" role="{role}"><p>{html.escape(title)}</p><ul>{items}</ul></div>'


def _notes(n: int) -> str:
    return "1 note" if n == 1 else f"{n} notes"


def _few(counts: Mapping[int, int]) -> str:
    """Pitches with their notes, those with the most notes where there are many."""
    if len(counts) <= _NAMED_PITCHES:
        return panels.name_pitches(counts)
    most = sorted(sorted(counts, key=counts.__getitem__, reverse=True)[:_NAMED_PITCHES])
    left = _notes(sum(n for pitch, n in counts.items() if pitch not in most))
    return f"{panels.name_pitches({pitch: counts[pitch] for pitch in most})}, and {left} on {len(counts) - len(most)} others"
