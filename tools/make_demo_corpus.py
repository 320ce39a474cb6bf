"""Writes a small corpus in MusicNet's layout: etudes composed and played here, a stand-in for an 11 GB download.

It shows that the commands work together. No setting of the program is chosen on it, and no result is quoted from it.
"""

import csv
import pathlib
import sys

import numpy as np
import soundfile
from absl import flags as absl_flags
from absl import logging

from pnet_tf import command
from pnet_tf.errors import InputError
from pnet_tf.instruments import INSTRUMENTS
from pnet_tf.score import read_score
from pnet_tf.spec import FeatureSpec

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
# MIDI pitches, by MusicNet's instrument id: of those that MusicNet has much of, what it has.
RANGES = {known.musicnet_id: (known.lowest, known.highest) for known in INSTRUMENTS.values()}
RANGES |= {41: (55, 86), 43: (36, 67), 74: (62, 93)}
COLUMNS = ("start_time", "end_time", "instrument", "note", "start_beat", "end_beat", "note_value")
MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
N_HARMONICS = 20
Notes = list[tuple[int, int, int]]  # start and end in samples, MIDI pitch


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the command's flags."""
    absl_flags.DEFINE_string("out", None, "folder for the corpus", flag_values=flags, required=True)
    names = [*INSTRUMENTS, *map(str, RANGES)]
    absl_flags.DEFINE_enum("instrument", "violin", names, "a name, or an id of MusicNet", flag_values=flags)
    absl_flags.DEFINE_integer("seed", 0, "another seed composes other etudes", lower_bound=0, flag_values=flags)


def etude(rng: np.random.Generator, instrument: int, *, n_sec: float, rate_hz: int) -> Notes:
    """Scales, broken chords, repeated notes and now and then a double stop, in a key and a tempo of their own."""
    low, high = RANGES[instrument]
    tonic = rng.integers(12)
    steps = [pitch for pitch in range(low, high + 1) if (pitch - tonic) % 12 in MAJOR_SCALE]
    beat_samples = int(rate_hz * rng.uniform(0.4, 0.6))
    notes, now, place = [], beat_samples // 2, len(steps) // 2
    while now < (n_sec - 2) * rate_hz:
        stride, length = rng.choice([1, -1, 2, -2, 0]), int(beat_samples * rng.choice([0.25, 0.25, 0.5, 0.5, 1]))
        for _ in range(rng.integers(3, 8)):
            place = int(np.clip(place + stride, 0, len(steps) - 1))
            notes.append((now, now + length, steps[place]))
            if rng.random() < 0.05 and place >= 4:
                notes.append((now, now + length, steps[place - 4]))
            now += length
        now += beat_samples // 2 * int(rng.integers(2))
    return [note for note in notes if note[1] < (n_sec - 0.5) * rate_hz]


def example_notes(instrument: int, semitones: int, *, n_sec: float, rate_hz: int) -> Notes:
    """The violin's example, moved by octaves into the instrument's range and then, where it fits, by `semitones`."""
    notes = read_score(EXAMPLES / "greensleeves_violin.musicxml").notes
    low, high = RANGES[instrument]
    lowest, highest = min(note.pitch for note in notes), max(note.pitch for note in notes)
    shift = (low - lowest + 11) // 12 * 12 if lowest < low else (high - highest) // 12 * 12 if highest > high else 0
    shift += semitones if low <= lowest + shift + semitones and highest + shift + semitones <= high else 0
    samples = [(round(n.start_sec * rate_hz), round(n.end_sec * rate_hz), n.pitch + shift) for n in notes]
    return [note for note in samples if note[1] < (n_sec - 0.5) * rate_hz]


def play(notes: Notes, rng: np.random.Generator, *, n_sec: float, rate_hz: int) -> np.ndarray:
    """A bowed string in a small room, float32 [samples], peak 0.5."""
    waveform = np.zeros(int(n_sec * rate_hz))
    for start, end, pitch in notes:
        tone = _tone(end - start, 440 * 2 ** ((pitch - 69) / 12), rng, rate_hz)
        waveform[start : start + len(tone)] += tone[: len(waveform) - start]
    room = rng.standard_normal(rate_hz // 4) * np.exp(-np.arange(rate_hz // 4) * 28 / rate_hz) * 0.01
    room[0] = 1
    n_fft = 2 ** int(np.ceil(np.log2(len(waveform) + len(room))))
    wet = np.fft.irfft(np.fft.rfft(waveform, n_fft) * np.fft.rfft(room, n_fft), n_fft)[: len(waveform)]
    return (0.5 * wet / np.abs(wet).max()).astype(np.float32)


def _tone(n_samples: int, pitch_hz: float, rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """One note with its release, float64 [samples]: decaying harmonics, late vibrato, some noise of the bow."""
    seconds = np.arange(n_samples + rate_hz // 12) / rate_hz
    vibrato = 0.004 * np.minimum(seconds / 0.4, 1) * np.sin(2 * np.pi * rng.uniform(5, 6) * seconds)
    phase = np.cumsum(2 * np.pi * pitch_hz * (1 + vibrato) / rate_hz)
    # sin(h x) from the two below it: one multiplication a harmonic instead of a sine.
    twice_cos, below, harmonic = 2 * np.cos(phase), np.zeros_like(phase), np.sin(phase)
    tone = 0.01 * np.convolve(rng.standard_normal(len(phase)), np.ones(8) / 8, "same")
    for number in range(1, min(N_HARMONICS, int(0.45 * rate_hz / pitch_hz)) + 1):
        tone += harmonic * number**-1.3 * (1 + 0.5 * np.sin(number * 1.7))
        below, harmonic = harmonic, twice_cos * harmonic - below
    attack = np.minimum(seconds / 0.04, 1)
    return tone * attack * np.exp(-40 * np.maximum(seconds - n_samples / rate_hz, 0)) * rng.uniform(0.7, 1)


def main(flags: absl_flags.FlagValues) -> None:
    """Writes four recordings to learn from and one to test on."""
    out, rate_hz = pathlib.Path(flags.out), FeatureSpec().sample_rate_hz
    known = INSTRUMENTS.get(flags.instrument)
    instrument = known.musicnet_id if known else int(flags.instrument)
    for number, split in enumerate(["train"] * 4 + ["test"]):
        n_sec, rng = (12.0 if split == "test" else 30.0), np.random.default_rng([flags.seed, number])
        if number == 3:
            notes = example_notes(instrument, flags.seed % 5 - 2, n_sec=n_sec, rate_hz=rate_hz)
        else:
            notes = etude(rng, instrument, n_sec=n_sec, rate_hz=rate_hz)
        waveform = play(notes, rng, n_sec=n_sec, rate_hz=rate_hz)
        audio, labels = (out / f"{split}_{kind}" / str(9901 + number) for kind in ("data", "labels"))
        try:
            audio.parent.mkdir(parents=True, exist_ok=True)
            labels.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(audio.with_suffix(".wav"), waveform, rate_hz, subtype="FLOAT")
            with labels.with_suffix(".csv").open("w", newline="") as file:
                rows = [(start, end, instrument, pitch, 0.0, 0.0, "") for start, end, pitch in notes]
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        except (OSError, soundfile.LibsndfileError) as error:
            if audio.parent.is_dir():
                audio.with_suffix(".wav").unlink(missing_ok=True)
            raise InputError(f"{out}: cannot write the corpus ({error})") from error
    logging.info("wrote 4 recordings to learn from and 1 to test on to %s", out)


if __name__ == "__main__":
    sys.exit(command.run(define_flags, main))
