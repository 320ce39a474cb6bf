"""What the page says, in a musician's words: what cannot be played, which parts there are, why a file is refused."""

import html
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pnet_tf import panels
from pnet_tf.instruments import RANGES
from pnet_tf.score import Score

if TYPE_CHECKING:
    from pnet_tf.perform_fit import Fit

_NAMED_PITCHES = 8
_NAME_CHARACTERS = 80
_OTHERS = ("notes of other", "other parts")
_FORMATS = "MIDI (.mid), MusicXML (.musicxml, .xml, .mxl), kern, ABC or MEI"
_AGAIN = "Export it again from your notation program, or give MIDI or MusicXML."
_WORK = ", far more|XML nested|a repeat of|larger than|unpacks to more|asks for"
# What a reader's message holds, for whoever is at a command line, and what a musician is told.
_REASONS = [
    ("not a readable score", f"is not a score that can be read here. Give {_FORMATS}."),
    ("file is empty", "is empty."),
    ("no pitched notes", "holds no notes with a pitch; there is nothing for an instrument to play."),
    ("declares an entity", f"holds what no score needs, and is not read for safety. {_AGAIN}"),
    ("XML of kind", "is an XML file, but not a score. Give MusicXML."),
    ("a zip file without|no score named in", "is a zip file that holds no score. Export it again as MusicXML."),
    ("label file|no column|readable as csv|: line \\d+:", f"is a table that holds no notes of a score. Give {_FORMATS}."),
    ("MIDI format", "is MIDI of a kind that holds several songs. Export it as MIDI of type 0 or 1."),
    ("holds .* pieces", "holds several pieces. Save the one to be played as a file of its own."),
    ("ends after .* hours", "lasts for hours. Cut the score."),
    (_WORK, f"asks for far more work than a score does; it may be damaged. {_AGAIN}"),
]
_NAMED_LIKE = {
    **dict.fromkeys((".mid", ".midi"), "MIDI"),
    **dict.fromkeys((".xml", ".musicxml", ".mxl"), "MusicXML"),
    ".krn": "kern",
    ".abc": "ABC",
    ".mei": "MEI",
}
# Between these the page takes wishes.
SLOWEST, FASTEST = 0.5, 2.0
MOST_SEMITONES = 24


def shortened(name: str) -> str:
    """A stranger's name for something as it is shown: no control characters, not too long. Not escaped."""
    name = "".join(char if char.isprintable() else " " for char in name).strip()
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"


def display_name(file_name: str) -> str:
    """The name of an uploaded file as it is shown: no folders, no control characters, not too long. Not escaped."""
    return shortened(re.split(r"[\\/]", file_name)[-1])


def clock(seconds: float) -> str:
    """`1:05` for 65 seconds; halves go up, as in the player."""
    whole = math.floor(seconds + 0.5)
    return f"{whole // 60}:{whole % 60:02d}"


def refusal(message: str, path: pathlib.Path, name: str) -> str:
    """Why a file is refused and what to do, in a sentence of the page's own: a reader's words are for a command line.

    Args:
      message: of the `InputError`.
      path: of the file as it was read.
      name: what its owner calls it.
    """
    shown = f"“{display_name(name)}”"
    message = message.replace(str(path), "")
    for pattern, told in _REASONS:
        if re.search(pattern, message):
            return f"{shown} {told}"
    kind = _NAMED_LIKE.get(pathlib.PurePath(display_name(name)).suffix.lower())
    if kind is None:
        return f"{shown} cannot be read; it may be damaged. {_AGAIN}"
    return f"{shown} cannot be read as {kind}; it may be damaged, or not be {kind} at all. {_AGAIN}"


def wrong_wish(tempo: object, semitones: object) -> str:
    """What is wrong with a tempo and a transposition as they stand in their fields; empty where nothing is."""
    if not (isinstance(tempo, int | float) and SLOWEST <= tempo <= FASTEST):
        return f"The tempo has to be a number from {SLOWEST:g} to {FASTEST:g}."
    if not (isinstance(semitones, int | float) and abs(semitones) <= MOST_SEMITONES and semitones == int(semitones)):
        return f"The transposition has to be a whole number from −{MOST_SEMITONES} to {MOST_SEMITONES}."
    return ""


def not_given(name: str) -> str:
    """What is said of a score that was not uploaded: Gradio may have cleared it away, or somebody made the request by hand."""
    return f"“{display_name(name)}” has not arrived here. Give it again."


def too_large(name: str, max_upload_mb: float) -> str:
    """Why a file of too many bytes is refused."""
    return f"“{display_name(name)}” is larger than {max_upload_mb:g} MB, the most that this page takes. Is it a recording?"


def too_long(seconds: float, max_minutes: float, *, tempo: float) -> str:
    """Why a score is not performed at this tempo, and from which tempo on it would be."""
    needed = math.ceil(seconds * tempo / (max_minutes * 60) * 20) / 20
    faster = f"Choose a tempo of {needed:g} or more, or cut the score." if needed <= FASTEST else "Cut the score."
    most = "1 minute" if max_minutes == 1 else f"{max_minutes:g} minutes"
    return f"It would last {clock(seconds)}; this page plays up to {most}. {faster}"


def too_many_notes(max_notes: int) -> str:
    """Why a score of too many notes is refused."""
    return f"The part has more than {max_notes} notes, the most that this page plays. Cut the score."


def parts_sentence(parts: Sequence[str], number: int) -> str:
    """Which parts a score has, and which one plays; empty for a score of one part."""
    if len(parts) < 2:
        return ""
    return f"The score has {len(parts)} parts; one plays at a time. Now playing: {shortened(parts[number - 1])}."


def part_label(parts: Sequence[str], number: int) -> str:
    """How a part is offered: `2. Violin II`."""
    return f"{number}. {shortened(parts[number - 1])}"


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
    low, high = (panels.pitch_name(pitch) for pitch in (min(pitches), max(pitches)))
    span = f", {low}" if low == high else f" from {low} to {high}"
    return f"{_notes(len(pitches))}{span}, {clock(float(score.end_sec))}"


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
