"""The voices that the page plays with. The only room of the page that opens voices, and so the only one to bring a runtime."""

import dataclasses
import functools
import pathlib
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from absl import logging

from pnet_tf import mastering
from pnet_tf.errors import UsageError
from pnet_tf.score import Note, Score, score_from_notes

if TYPE_CHECKING:
    from pnet_tf.perform_fit import Fit
    from pnet_tf.perform_sound import Written

# So long that the network draws first two windows and then four at once, as it does with the scores to come.
_WARMING_SEC = 20
_WARMING_PITCH = 67


@dataclasses.dataclass(frozen=True)
class Played:
    """How the level of a performance differs from that of its stream, and its picture.

    Attributes:
      change_db: gain of the file over that of the stream.
      draw: draws the picture of the performance into a file.
    """

    change_db: float
    draw: Callable[[pathlib.Path, str], None]


class Voices:
    """Voices by name, each opened once."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        """Opens nothing yet.

        Args:
          names: of shipped voices, or folders; those that are shipped if none is given.

        Raises:
          InputError: one is no voice.
          UsageError: two have one name.
        """
        from pnet_tf import voice_folder

        folders = [voice_folder.find_voice(name) for name in names or voice_folder.shipped()]
        self._folders = {folder.resolve().name: folder for folder in folders}
        if len(self._folders) < len(folders):
            raise UsageError("--voice: two of the voices are called the same; rename a folder")
        self._lock = threading.Lock()
        self._opened: dict[str, Any] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What the voices are called."""
        return tuple(self._folders)

    def voice(self, name: str) -> Any:
        """A voice as `voice.Voice`.

        Raises:
          KeyError: there is none of that name.
          InputError: it cannot be opened.
        """
        folder = self._folders[name]
        with self._lock:
            if name not in self._opened:
                self._opened[name] = _open(folder)
            return self._opened[name]

    def warm(self) -> None:
        """Plays some bars with each voice, so that whoever comes first need not wait until all is compiled."""
        from pnet_tf import render

        scale = [Note(Fraction(k), Fraction(k + 1), _WARMING_PITCH + k % 5) for k in range(_WARMING_SEC)]
        for name in self.names:
            for _ in render.Piece(score_from_notes("warming", scale), self.voice(name)).blocks(render.Settings(iterations=1)):
                pass
            logging.info("the %s is ready", name)

    def fit(self, score: Score, name: str, *, semitones: int | None, tempo: float) -> "Fit":
        """As `perform_fit.fit_score`, by the voice's name.

        Raises:
          InputError: no note is left.
        """
        from pnet_tf import perform_fit

        return perform_fit.fit_score(score, self.voice(name), semitones=semitones, tempo=tempo)

    def level(self, name: str) -> mastering.StreamLevel:
        """The gain and the limiter of a stream of a voice."""
        from pnet_tf import perform_sound

        voice = self.voice(name)
        return mastering.StreamLevel(voice.spec.sample_rate_hz, perform_sound.stream_gain_db(voice))

    def n_samples(self, score: Score, name: str) -> int:
        """How long the sound of a score is going to be."""
        from pnet_tf import render

        return render.Piece(score, self.voice(name)).n_samples

    def perform(
        self, score: Score, name: str, out: pathlib.Path, *, iterations: int, on_block: Callable[[Any], object]
    ) -> Played:
        """Performs a score, as it is, into a WAV file of the usual loudness; see `perform_sound.write_performance`.

        Args:
          score: as it is going to be played.
          name: of the voice.
          out: the file.
          iterations: of Griffin-Lim.
          on_block: called with each `render.Performance`; what it raises ends the performance and leaves no file.

        Raises:
          InputError: it cannot be performed, or not written.
        """
        from pnet_tf import perform_sound, render

        voice = self.voice(name)
        piece = render.Piece(score, voice)
        written = perform_sound.write_performance(
            piece, voice, out, settings=render.Settings(iterations=iterations), keep_beginning=True, on_block=on_block
        )
        change_db = written.mastered.gain_db - perform_sound.stream_gain_db(voice)
        draw = functools.partial(_draw, score, voice, written, piece.n_samples / voice.spec.sample_rate_hz)
        return Played(change_db, draw)


def _open(folder: pathlib.Path) -> Any:
    from pnet_tf import runtimes

    return runtimes.open_voice(folder)


def _draw(score: Score, voice: Any, written: "Written", total_sec: float, path: pathlib.Path, title: str) -> None:
    """As `perform --plot` draws it."""
    from pnet_tf import performer

    performer.draw_written(path, written, score=score, voice=voice, total_sec=total_sec, title=title)
