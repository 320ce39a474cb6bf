"""One recording to a shard: every frame once, at the spec's level, as an independent STFT has it."""

import os
import pathlib
from fractions import Fraction

import librosa
import numpy as np
import pytest
import small_corpus
import soundfile
import tensorflow as tf

from pnet_tf import preparer, records, roll
from pnet_tf.errors import InputError
from pnet_tf.score import Note, Score, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
HOP = SPEC.hop_samples
BLOCK_FRAMES = 8 * 216
NOWHERE = pathlib.Path("nowhere")


def score_of(notes) -> Score:
    rate = SPEC.sample_rate_hz
    return score_from_notes("a", [Note(Fraction(start, rate), Fraction(end, rate), pitch) for start, end, pitch in notes])


def job_of(folder, notes, *, max_bad_labels=0.0, spec=SPEC):
    return preparer.Job(
        name="a",
        audio=folder / "a.wav",
        score=score_of(notes),
        split="train",
        label_source="a.csv",
        folder=folder,
        spec=spec,
        max_bad_labels=max_bad_labels,
    )


def librosa_log_power(waveform, spec=SPEC):
    # Padded here: librosa's own centring warns of signals shorter than a frame.
    padded = np.pad(waveform, spec.n_fft // 2)
    transform = librosa.stft(padded, n_fft=spec.n_fft, hop_length=spec.hop_samples, window="hann", center=False)
    return np.log1p((spec.target_gain * np.abs(transform.T.astype(np.complex128))) ** 2)


def assert_rounded_equal(stored, exact):
    """float16 of nearly the same numbers: the same or the neighbouring float16, hardly ever the neighbour.

    Beside loud partials float32 is wrong by 1e-7 of those, which the gain shows in silent bins.
    """
    assert stored.dtype == np.float16
    assert stored.shape == exact.shape
    rounded = exact.astype(np.float16)
    step = np.spacing(rounded).astype(np.float64)
    assert (np.abs(stored.astype(np.float64) - rounded) <= step + 5e-4).all()
    assert (stored == rounded).mean() > 0.85


def stored_arrays(path):
    """The chunks of a shard joined, parsed without any code of the package."""
    columns = {"log_power": ("<f2", SPEC.n_bins), "pianoroll": ("i1", 128), "onset_offset": ("i1", 128)}
    chunks = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        chunks.append(
            {
                name: np.frombuffer(features[name].bytes_list.value[0], dtype).reshape(-1, width)
                for name, (dtype, width) in columns.items()
            }
        )
    lengths = [len(chunk["log_power"]) for chunk in chunks]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in columns}, lengths


# --- every frame once


@pytest.mark.parametrize(
    "n_samples",
    [1, HOP - 1, HOP, SPEC.n_fft, 50 * HOP - 1, 50 * HOP, (BLOCK_FRAMES - 1) * HOP - 1, (BLOCK_FRAMES + 3) * HOP],
)
def test_the_target_is_librosas_to_the_last_frame_and_over_the_borders_of_blocks(n_samples):
    waveform = np.random.default_rng(3).normal(0, 0.1, n_samples).astype(np.float32)
    found = preparer.log_power_of(waveform, SPEC)
    assert len(found) == 1 + n_samples // HOP
    assert_rounded_equal(found, librosa_log_power(waveform))


def test_joined_the_chunks_of_a_recording_are_the_whole(tmp_path):
    """7 s and 13 samples: 1206 frames in five chunks of 216 and one of 126."""
    n_samples = 7 * SPEC.sample_rate_hz + 13
    notes = small_corpus.notes_of(n_samples)
    waveform = small_corpus.waveform_of(notes, n_samples)
    small_corpus.write_audio(tmp_path / "a.wav", waveform)
    entry = preparer.prepare_recording(job_of(tmp_path, notes))
    stored, lengths = stored_arrays(tmp_path / entry.shard)
    assert lengths == [216, 216, 216, 216, 216, 126]
    assert (entry.n_frames, len(entry.byte_offsets)) == (1206, 6)
    assert_rounded_equal(stored["log_power"], librosa_log_power(waveform * np.float32(entry.level_gain)))
    rolls = roll.rolls_from_score(score_of(notes), SPEC, n_frames=1206)
    np.testing.assert_array_equal(stored["pianoroll"], rolls.pianoroll)
    np.testing.assert_array_equal(stored["onset_offset"], rolls.onset_offset)
    np.testing.assert_array_equal(entry.pitch_frames, rolls.pianoroll.sum(axis=0))
    assert entry.n_notes == len(notes)
    assert entry.seconds == n_samples / SPEC.sample_rate_hz
    assert sorted(os.listdir(tmp_path)) == ["a.entry.json", "a.tfrecord", "a.wav"]


def test_a_click_on_the_last_sample_is_in_the_last_frames(tmp_path):
    notes = [(0, 40 * HOP, 60)]
    waveform = np.full(100 * HOP + 200, 1e-6, np.float32)
    waveform[: 40 * HOP] = small_corpus.waveform_of(notes, 40 * HOP)
    waveform[-1] = 0.5
    small_corpus.write_audio(tmp_path / "a.wav", waveform)
    preparer.prepare_recording(job_of(tmp_path, notes))
    stored, _ = stored_arrays(tmp_path / "a.tfrecord")
    assert len(stored["log_power"]) == 101
    heard = stored["log_power"].mean(axis=1) > 1
    # The click lies 199 samples after the centre of frame 100, and 967, just inside the window, after that of frame 97.
    np.testing.assert_array_equal(np.flatnonzero(heard[60:]) + 60, [98, 99, 100])


# --- level


def test_sounding_frames_are_brought_to_the_level_of_the_spec():
    """By hand: RMS 0.2 under the note, and loud noise before and after it that does not count."""
    waveform = np.full(40 * HOP + 77, 0.9, np.float32)
    waveform[10 * HOP : 30 * HOP : 2] = 0.2
    waveform[10 * HOP + 1 : 30 * HOP : 2] = -0.2
    sounding = np.zeros(41, bool)
    sounding[10:30] = True
    gain = preparer.level_gain(waveform, sounding, job_of(NOWHERE, [(0, HOP, 60)]))
    assert gain == pytest.approx(0.25, rel=1e-6)
    other = job_of(NOWHERE, [(0, HOP, 60)], spec=FeatureSpec(level_rms=0.1))
    assert preparer.level_gain(waveform, sounding, other) == pytest.approx(0.5, rel=1e-6)


def test_the_stored_sound_has_the_level_whatever_the_recordings(tmp_path):
    """Parseval on the stored target: a loud and a quiet copy are the same target at RMS 0.05."""
    notes, n_samples = [(10 * HOP, 100 * HOP, 69)], 100 * HOP
    stored = []
    for level in (0.9, 0.003):
        tone = level * np.sin(2 * np.pi * 0.013 * np.arange(n_samples))
        tone[: 10 * HOP] = 0
        small_corpus.write_audio(tmp_path / "a.wav", tone.astype(np.float32))
        preparer.prepare_recording(job_of(tmp_path, notes))
        stored.append(stored_arrays(tmp_path / "a.tfrecord")[0]["log_power"].astype(np.float64))
    np.testing.assert_allclose(stored[0], stored[1], atol=0.01)
    power = np.expm1(stored[0][20:80]) / SPEC.target_gain**2
    window_energy = 3 / 8 * SPEC.n_fft
    rms = np.sqrt(2 * power[:, 1:-1].sum(axis=1) / SPEC.n_fft / window_energy)
    np.testing.assert_allclose(rms, SPEC.level_rms, rtol=0.01)


@pytest.mark.parametrize("level", [0, 1e-40, 1e-8])
def test_audio_that_is_silent_under_its_notes_is_refused(tmp_path, level):
    waveform = np.full(44100, 0.5, np.float32)
    waveform[: 64 * HOP] = level
    small_corpus.write_audio(tmp_path / "a.wav", waveform)
    with pytest.raises(InputError, match=r"a\.wav: silent wherever the score has notes"):
        preparer.prepare_recording(job_of(tmp_path, [(0, 64 * HOP, 60)]))
    assert os.listdir(tmp_path) == ["a.wav"]


# --- labels past the end


def fitted(notes, max_bad_labels):
    """Ten seconds of audio."""
    return preparer.fit_score(job_of(NOWHERE, notes, max_bad_labels=max_bad_labels), Fraction(10))


SECOND = SPEC.sample_rate_hz
INSIDE = [(k * SECOND, (k + 1) * SECOND, 60 + k) for k in range(8)]
OUTLASTING, AFTER = (9 * SECOND, 11 * SECOND, 80), (10 * SECOND, 12 * SECOND, 81)


def test_labels_past_the_end_are_cut_or_dropped_and_counted():
    score, counts = fitted([*INSIDE, OUTLASTING, AFTER], 0.2)
    assert counts == {"cut": 1, "dropped": 1}
    assert [(float(note.start_sec), float(note.end_sec), note.pitch) for note in score.notes] == [
        *((k, k + 1, 60 + k) for k in range(8)),
        (9, 10, 80),
    ]


def test_a_note_that_ends_with_the_audio_is_no_bad_label():
    score, counts = fitted([(9 * SECOND, 10 * SECOND, 60)], 0)
    assert counts == {"cut": 0, "dropped": 0}
    assert score.notes[0].end_sec == 10


def test_more_labels_past_the_end_than_allowed_are_refused():
    """Two of ten: a share of 0.2 is borne, the next lower one is not."""
    with pytest.raises(InputError) as caught:
        fitted([*INSIDE, OUTLASTING, AFTER], 0.199)
    message = str(caught.value)
    assert "2 of 10 notes lie past the end of the audio at 10.00 s (1 end after it, 1 begin after it)" in message
    assert "--max_bad_labels=0.199" in message
    assert "\n" not in message


def test_a_score_wholly_past_the_end_is_refused_even_if_all_may_be_bad():
    with pytest.raises(InputError, match="no note of its score lies within the 10.00 s of audio"):
        fitted([AFTER], 1.0)


def test_a_cut_note_is_in_the_last_frame_of_the_roll(tmp_path):
    notes = [(0, 20 * HOP, 60), (30 * HOP, 90 * HOP, 62)]
    small_corpus.write_audio(tmp_path / "a.wav", small_corpus.waveform_of(notes, 50 * HOP + 1))
    entry = preparer.prepare_recording(job_of(tmp_path, notes, max_bad_labels=0.5))
    stored, _ = stored_arrays(tmp_path / "a.tfrecord")
    assert entry.label_counts == {"cut": 1, "dropped": 0}
    assert stored["pianoroll"][:, 62].tolist() == [0] * 30 + [1] * 21
    assert stored["onset_offset"][:, 62].tolist() == [0] * 30 + [1] + [0] * 20


# --- nothing half-written


@pytest.mark.parametrize("broken", ["write_shard", "replace", "write_whole"])
def test_a_failure_leaves_no_half_written_recording(tmp_path, monkeypatch, broken):
    notes = [(0, 64 * HOP, 60)]
    small_corpus.write_audio(tmp_path / "a.wav", small_corpus.waveform_of(notes, 44100))

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    if broken == "write_shard":
        write = records.write_shard
        monkeypatch.setattr(records, "write_shard", lambda path, chunks: (write(path, list(chunks)[:1]), fail()))
    elif broken == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(preparer, "write_whole", fail)
    with pytest.raises(OSError, match="No space left"):
        preparer.prepare_recording(job_of(tmp_path, notes))
    # A whole shard without its entry counts as not there, and is written anew.
    left = ["a.tfrecord", "a.wav"] if broken == "write_whole" else ["a.wav"]
    assert sorted(os.listdir(tmp_path)) == left


def test_audio_that_cannot_be_read_is_refused_by_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio at all" * 100)
    with pytest.raises(InputError, match=r"a\.wav"):
        preparer.prepare_recording(job_of(tmp_path, [(0, 64 * HOP, 60)]))


def test_a_recording_at_another_rate_is_brought_to_the_spec(tmp_path):
    """Half the rate, one second: a tone at 1000 Hz is in bin 1000 / 44100 * 2048 = 46.4."""
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(22050) / 22050)
    tone[:2205] = 0
    soundfile.write(tmp_path / "a.wav", tone, 22050, subtype="FLOAT")
    entry = preparer.prepare_recording(job_of(tmp_path, [(4410, 44100, 83)]))
    assert entry.n_frames == 173
    stored, _ = stored_arrays(tmp_path / "a.tfrecord")
    np.testing.assert_array_equal(stored["log_power"][25:150].argmax(axis=1), 46)


def test_a_score_that_could_not_be_read_is_this_recording_s_error(tmp_path):
    job = preparer.Job(
        "x", tmp_path / "x.wav", InputError("x.mid: cut off"), "train", "x.mid", tmp_path, FeatureSpec(), max_bad_labels=0.0
    )
    with pytest.raises(InputError, match="x.mid: cut off"):
        preparer.prepare_recording(job)
    assert list(tmp_path.iterdir()) == []
