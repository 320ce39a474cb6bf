"""A score played by FluidSynth with a soundfont: what a sampler without any learning reaches."""

import pathlib
import shutil
import struct
import subprocess
import tempfile
from fractions import Fraction

import numpy as np

from pnet_tf import audio_file
from pnet_tf.errors import InputError
from pnet_tf.score import Note, Score, score_from_notes
from pnet_tf.spec import FeatureSpec

PROGRAM = "fluidsynth"
# Where distributions put them; the first names come first.
_PLACES = tuple(
    pathlib.Path(prefix) / folder
    for prefix in ("/usr/share", "/usr/local/share", "/opt/homebrew/share")
    for folder in ("sounds/sf2", "soundfonts", "sounds/sf3")
)
_WELL_KNOWN = ("FluidR3_GM.sf2", "FluidR3_GS.sf2", "default-GM.sf2", "default.sf2", "TimGM6mb.sf2")
_SUFFIXES = (".sf2", ".sf3")
_TICKS_PER_QUARTER, _QUARTER_MICROSECONDS = 1000, 500_000
_VELOCITY = 80
_TIMEOUT_SEC = 1800
_LEAST_PEAK = 1e-3


class Soundfont:
    """FluidSynth with one soundfont and one instrument of it."""

    def __init__(self, path: pathlib.Path, program: int) -> None:
        """Plays one note, so that what is wrong shows at once.

        Args:
          path: the soundfont.
          program: General MIDI program from 0.

        Raises:
          InputError: FluidSynth is not installed, or does not play this file.
        """
        self.path, self.program = path, program
        if shutil.which(PROGRAM) is None:
            raise InputError(f"{PROGRAM} is not installed (Debian: {PROGRAM} and fluid-soundfont-gm)")
        _require_soundfont(path)
        probe = score_from_notes("probe", [Note(Fraction(0), Fraction(1, 4), 69)])
        # Without the instrument there is still the dither.
        if np.abs(self.play(probe, FeatureSpec())).max(initial=0.0) < _LEAST_PEAK:
            raise InputError(f"{path}: {PROGRAM} plays silence with it; is it a soundfont, with program {program}?")

    def play(self, score: Score, spec: FeatureSpec) -> np.ndarray:
        """The sound of a score, with FluidSynth's own reverb, every note of one velocity.

        Args:
          score: notes in seconds.
          spec: gives the rate.

        Returns:
          float32 [samples], until the last note has died away.

        Raises:
          InputError: FluidSynth fails.
        """
        with tempfile.TemporaryDirectory(prefix="pnet-soundfont-") as name:
            midi, wav = pathlib.Path(name) / "score.mid", pathlib.Path(name) / "score.wav"
            midi.write_bytes(midi_from_score(score, self.program))
            options = ["-n", "-i", "-q", "-r", str(spec.sample_rate_hz), "-F", str(wav)]
            try:
                done = subprocess.run(
                    [PROGRAM, *options, str(self.path.absolute()), str(midi)],
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_SEC,
                )
            except subprocess.TimeoutExpired as error:
                raise InputError(f"{self.path}: {PROGRAM} did not end within {_TIMEOUT_SEC / 60:.0f} minutes") from error
            except OSError as error:
                raise InputError(f"{PROGRAM} cannot be started ({error.strerror})") from error
            if done.returncode or not wav.exists():
                said = " ".join(done.stderr.split())[-300:]
                raise InputError(f"{self.path}: {PROGRAM} fails (exit code {done.returncode}: {said or 'it says nothing'})")
            return audio_file.read_waveform(wav, spec)


def _require_soundfont(path: pathlib.Path) -> None:
    """Refuses what FluidSynth would pass over, to play with a soundfont of its own choice."""
    if not path.is_file():
        raise InputError(f"{path}: no such soundfont")
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise InputError(f"{path}: not a soundfont (begins with {head[:4]!r}), expected an sf2 or sf3 file")


def find_soundfont() -> pathlib.Path | None:
    """A soundfont where distributions put them, a well-known one first; None where there is none."""
    found = [
        path
        for place in _PLACES
        if place.is_dir()
        for path in sorted(place.iterdir())
        if path.suffix.lower() in _SUFFIXES and path.is_file()
    ]
    ranks = {name: rank for rank, name in enumerate(_WELL_KNOWN)}
    return min(found, key=lambda path: ranks.get(path.name, len(ranks)), default=None)


def midi_from_score(score: Score, program: int) -> bytes:
    """A standard MIDI file of one track: 2000 ticks a second, one channel, one velocity.

    Args:
      score: notes in seconds.
      program: General MIDI program from 0.
    """
    ticks_per_sec = Fraction(_TICKS_PER_QUARTER * 1_000_000, _QUARTER_MICROSECONDS)
    events = []
    for note in score.notes:
        start = round(note.start_sec * ticks_per_sec)
        end = max(round(note.end_sec * ticks_per_sec), start + 1)
        events += [(start, 1, bytes([0x90, note.pitch, _VELOCITY])), (end, 0, bytes([0x80, note.pitch, 0]))]
    track = b"\x00\xff\x51\x03" + _QUARTER_MICROSECONDS.to_bytes(3, "big") + bytes([0, 0xC0, program])
    now = 0
    # A note that ends where the next of its pitch begins is let go first.
    for tick, _, message in sorted(events):
        track += _variable_length(tick - now) + message
        now = tick
    track += b"\x00\xff\x2f\x00"
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, _TICKS_PER_QUARTER)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


def _variable_length(number: int) -> bytes:
    """MIDI's variable-length quantity: seven bits a byte, the top bit on all but the last."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))
