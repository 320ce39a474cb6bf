"""What the page's controls do, apart from how they look: a score chosen and fitted to a voice, a performance begun."""

import dataclasses
import pathlib
import re
import shutil
import tempfile
from typing import Any

from absl import logging

from pnet_tf import limits, page_live, page_words
from pnet_tf.errors import InputError
from pnet_tf.example_scores import list_examples
from pnet_tf.page_guard import Folder
from pnet_tf.page_reading import Busy, Reader, ReadScore
from pnet_tf.page_session import Job, Stage
from pnet_tf.page_voices import Voices
from pnet_tf.score import SUFFIXES, Score

# As if each were as large as one may be.
_MOST_FILES = 40
# Iterations of Griffin-Lim.
QUALITIES = {"quick": 8, "good": 32, "best": 100}
_LOGGED_CHARACTERS = 300


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What the page refuses beyond.

    Attributes:
      max_minutes: length of a performance.
      max_upload_mb: size of a file.
      max_notes: of a part.
    """

    max_minutes: float = 10.0
    max_upload_mb: float = 5.0
    max_notes: int = 20_000

    @property
    def upload_bytes(self) -> int:
        """Size of a file."""
        return int(self.max_upload_mb * 1e6)

    @property
    def most_together_bytes(self) -> int:
        """Size of all files that are kept of one kind: uploads, and their copies."""
        return _MOST_FILES * self.upload_bytes

    @property
    def reading(self) -> limits.Limits:
        """Bounds of the readers: a slow score may still be made short enough by its tempo."""
        return limits.Limits(hours=max(4.0, self.max_minutes / 3), notes=self.max_notes)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A score that somebody chose. Its file is a copy of its own, so that nobody else's page can change it.

    Attributes:
      path: of the copy.
      name: what its owner calls it; not escaped.
      found: what was read of it.
    """

    path: pathlib.Path
    name: str
    found: ReadScore

    @property
    def title(self) -> str:
        """Its name without a file's suffix."""
        stem, dot, suffix = self.name.rpartition(".")
        return stem if dot and f".{suffix.lower()}" in SUFFIXES else self.name


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How a score is to be played: `semitones` None for as fits best."""

    voice: str
    semitones: int | None = 0
    tempo: float = 1.0
    iterations: int = QUALITIES["good"]


class Desk:
    """Takes what people ask for; one for the whole page."""

    def __init__(
        self, voices: Voices, stage: Stage, folder: pathlib.Path, *, uploads: pathlib.Path, bounds: Bounds = Bounds()
    ) -> None:
        """Reads and plays nothing yet.

        Args:
          voices: to choose from.
          stage: where performances are played.
          folder: for copies of uploads.
          uploads: the folder that they come from.
          bounds: what is refused beyond.
        """
        self.voices, self.stage, self.bounds = voices, stage, bounds
        self._folder, self._uploads = folder, uploads.resolve()
        self._copies = Folder(folder, bounds.most_together_bytes)
        self._reader = Reader(bounds=bounds.reading)

    def warm(self) -> None:
        """Gets voices and the reading of scores ready."""
        self._reader.read(next(iter(self.examples().values())))
        self.voices.warm()

    def examples(self) -> dict[str, pathlib.Path]:
        """Bundled scores by the name that they are offered under."""
        return {name.replace("_", " ").capitalize(): path for name, path in list_examples().items()}

    def choose(self, path: pathlib.Path, name: str, who: str | None = None) -> Choice:
        """Reads a score.

        Args:
          path: of the file.
          name: what its owner calls it.
          who: its session.

        Raises:
          InputError: it cannot be read, in the words of `page_words`.
        """
        self._check_was_given(path, name)
        if path.stat().st_size > self.bounds.max_upload_mb * 1e6:
            raise InputError(page_words.too_large(name, self.bounds.max_upload_mb))
        suffix = re.sub(r"[^a-z]", "", path.suffix.lower())[:10]
        if not self._copies.make_room(path.stat().st_size):
            raise Busy("Many scores were given in the last minute. Give it again in a minute.")
        copy = pathlib.Path(tempfile.mkdtemp(dir=self._folder)) / f"score.{suffix}"
        shutil.copyfile(path, copy)
        try:
            return self._read(copy, name, None, who)
        except InputError:
            self.forget(copy)
            raise

    def _check_was_given(self, path: pathlib.Path, name: str) -> None:
        """Whoever sends a path by hand gets nothing but uploads and examples."""
        is_ours = path.resolve().is_relative_to(self._uploads) or path in self.examples().values()
        if not is_ours or not path.is_file():
            raise InputError(page_words.not_given(name))

    def choose_part(self, choice: Choice, number: int, who: str | None = None) -> Choice:
        """Another part of a score, by its number from 1, for the session `who`.

        Raises:
          InputError: it cannot be read.
        """
        return self._read(choice.path, choice.name, number, who)

    def voice_for(self, choice: Choice) -> str | None:
        """The voice that a score is written for, as its part or its name says; None where neither does."""
        texts = (choice.found.score.part.casefold(), choice.name.casefold())
        return next((voice for text in texts for voice in self.voices.names if voice in text), None)

    def forget(self, path: pathlib.Path) -> None:
        """Removes the copy of a score that nobody looks at any more."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def _read(self, path: pathlib.Path, name: str, number: int | None, who: str | None) -> Choice:
        try:
            found = self._reader.read(path, number=number, instruments=self.voices.names, who=who)
        except Busy:
            raise
        except InputError as error:
            if f"more than {self.bounds.max_notes} notes" in str(error):
                raise InputError(page_words.too_many_notes(self.bounds.max_notes)) from error
            logging.warning("a score was refused: %s", ascii(str(error))[:_LOGGED_CHARACTERS])
            raise InputError(page_words.refusal(str(error), path, name)) from error
        return Choice(path, page_words.display_name(name), found)

    def show(self, choice: Choice, wishes: Wishes) -> dict[str, Any]:
        """What the page shows before a performance: the notes as they are going to be played, and what is wrong with them.

        Returns:
          `piece`, for the player; `problems` and `remarks`, sentences; `playable`, whether it may be performed.
        """
        with limits.raised_to(self.bounds.reading):
            try:
                fit = self.voices.fit(choice.found.score, wishes.voice, semitones=wishes.semitones, tempo=wishes.tempo)
            except InputError:
                said = f"No note of it can be played {page_words.interval(wishes.semitones or 0)}."
                return {"piece": None, "problems": [said], "remarks": [], "playable": False}
            instrument = self.voices.voice(wishes.voice).instrument
            problems = page_words.fit_sentences(fit, instrument, easier=self._easier(choice, wishes, fit))
        seconds = float(fit.score.end_sec)
        too_long = seconds > self.bounds.max_minutes * 60
        problems = [page_words.too_long(seconds, self.bounds.max_minutes, tempo=wishes.tempo)] if too_long else problems
        remarks = [page_words.parts_sentence(choice.found.parts, choice.found.number)]
        if wishes.semitones is None:
            remarks.append(f"Played {page_words.interval(fit.semitones)}.")
        remarks.append(page_words.ignored_sentence(choice.found.score))
        piece = _piece(choice, fit.score, wishes.voice, {*fit.outside, *fit.unheard})
        return {"piece": piece, "problems": problems, "remarks": list(filter(None, remarks)), "playable": not too_long}

    def _easier(self, choice: Choice, wishes: Wishes, fit: Any) -> int | None:
        """A transposition with fewer notes that are wrong, or None."""
        best = self.voices.fit(choice.found.score, wishes.voice, semitones=None, tempo=wishes.tempo)
        return best.semitones if _n_wrong(best) < _n_wrong(fit) else None

    def begin(self, choice: Choice, wishes: Wishes, who: str | None = None) -> Job:
        """Queues a performance for the session `who`.

        Raises:
          InputError: it is too long, or too many wait.
        """
        with limits.raised_to(self.bounds.reading):
            fit = self.voices.fit(choice.found.score, wishes.voice, semitones=wishes.semitones, tempo=wishes.tempo)
        if (seconds := float(fit.score.end_sec)) > self.bounds.max_minutes * 60:
            raise InputError(page_words.too_long(seconds, self.bounds.max_minutes, tempo=wishes.tempo))
        title = f"{choice.title}, {wishes.voice}"

        def play(job: Job) -> None:
            """Performs on the stage."""
            self._play(job, fit.score, wishes, title)

        return self.stage.add(play, safe_name(title), who)

    def _play(self, job: Job, score: Score, wishes: Wishes, title: str) -> None:
        spec = self.voices.voice(wishes.voice).spec
        lowest = min(note.pitch for note in score.notes)
        live = page_live.LiveSound(spec, self.voices.level(wishes.voice), lowest_pitch=lowest)
        n_samples = self.voices.n_samples(score, wishes.voice)
        job.send(page_live.say(type="begun", n_samples=n_samples, **live.scales()))

        def on_block(block: Any) -> None:
            """Sends a block on, unless the performance was stopped."""
            job.check()
            job.send(*live.add(block.waveform, block.log_power))

        sound = job.folder / "sound.wav"
        played = self.voices.perform(score, wishes.voice, sound, iterations=wishes.iterations, on_block=on_block)
        job.send(*live.finish(), page_live.say(type="finished", change_db=played.change_db))
        job.check()
        played.draw(job.folder / "picture.png", title)
        job.send(page_live.say(type="drawn"))


def _n_wrong(fit: Any) -> int:
    return fit.n_lost + sum(fit.outside.values()) + sum(fit.unheard.values())


def _piece(choice: Choice, score: Score, voice: str, wrong: set[int]) -> dict[str, Any]:
    """A score as the player draws it."""
    notes = [[round(float(note.start_sec), 4), round(float(note.end_sec), 4), note.pitch] for note in score.notes]
    return {
        "title": f"{choice.title}, played by the {voice}",
        "voice": voice,
        "summary": page_words.summary(score),
        "notes": notes,
        "bars": [round(float(bar), 4) for bar in score.bars_sec],
        "wrong": sorted(wrong),
        "seconds": float(score.end_sec),
    }


def safe_name(title: str) -> str:
    """A name for a browser to save files under: ASCII letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()[:60] or "performance"
