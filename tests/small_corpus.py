"""Seconds of composed sound in MusicNet's layout, for tests that need recordings on a disk."""

import pathlib

import numpy as np
import soundfile

from pnet_tf.spec import FeatureSpec

RATE_HZ = FeatureSpec().sample_rate_hz
HEADER = "start_time,end_time,instrument,note,start_beat,end_beat,note_value"
PITCHES = (60, 64, 67, 72)
# Notes of two hops' multiple, a rest behind each: half a second all in all.
NOTE_SAMPLES, STEP_SAMPLES = 64 * 256, 86 * 256


def notes_of(n_samples):
    """Start, end and pitch of the notes that fit whole into so many samples."""
    starts = range(0, n_samples - NOTE_SAMPLES + 1, STEP_SAMPLES)
    return [(start, start + NOTE_SAMPLES, PITCHES[k % len(PITCHES)]) for k, start in enumerate(starts)]


def waveform_of(notes, n_samples, *, level=0.3):
    """Decaying tones over a little noise, float32 [n_samples]."""
    waveform = 1e-4 * np.random.default_rng(n_samples).standard_normal(n_samples)
    for start, end, pitch in notes:
        t = np.arange(min(end, n_samples) - start) / RATE_HZ
        tone = sum(np.sin(2 * np.pi * k * 440 * 2 ** ((pitch - 69) / 12) * t) / k for k in (1, 2, 3))
        waveform[start : start + len(t)] += level * tone * np.exp(-9 * t)
    return waveform.astype(np.float32)


def write_labels(path, notes, *, instrument=41):
    """A label file of MusicNet."""
    rows = [f"{start},{end},{instrument},{pitch},0,0,Quarter" for start, end, pitch in notes]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]) + "\n")


def write_audio(path, waveform):
    """A wav file that holds exactly these samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, RATE_HZ, subtype="FLOAT")


def add_recording(root: pathlib.Path, name, seconds, *, split="train", extra_notes=()):
    """One recording with its labels; the extra notes are in the labels alone. Returns the path of the audio."""
    n_samples = int(seconds * RATE_HZ)
    notes = notes_of(n_samples)
    audio = root / f"{split}_data" / f"{name}.wav"
    write_audio(audio, waveform_of(notes, n_samples))
    write_labels(root / f"{split}_labels" / f"{name}.csv", [*notes, *extra_notes])
    return audio


def content(folder: pathlib.Path):
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
