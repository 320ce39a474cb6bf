"""The demo corpus: MusicNet's layout, labels that say what sounds, the same bytes for the same seed."""

import importlib.util
import pathlib

import numpy as np
import pytest
import soundfile

from pnet_tf import command
from pnet_tf.score import read_labels
from pnet_tf.spec import FeatureSpec

SCRIPT = pathlib.Path(__file__).parent.parent / "tools" / "make_demo_corpus.py"
RATE_HZ = FeatureSpec().sample_rate_hz


@pytest.fixture(scope="module")
def script():
    description = importlib.util.spec_from_file_location("make_demo_corpus", SCRIPT)
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus(script, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    assert command.run(script.define_flags, script.main, [f"--out={out}"]) == 0
    return out


def test_files_lie_where_musicnet_has_them(corpus):
    found = sorted(str(path.relative_to(corpus)) for path in corpus.rglob("*.*"))
    train = [
        f"train_{kind}/{number}.{suffix}"
        for kind, suffix in (("data", "wav"), ("labels", "csv"))
        for number in range(9901, 9905)
    ]
    assert found == sorted([*train, "test_data/9905.wav", "test_labels/9905.csv"])


def test_recordings_are_float_mono_at_the_rate_of_the_spec(corpus):
    for path in corpus.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 1, "FLOAT")
        assert info.duration == (12 if path.parent.name == "test_data" else 30)


def test_labels_are_read_in_range_and_within_the_recording(corpus, script):
    for path in corpus.rglob("*.csv"):
        score = read_labels(path, instrument=41)
        recording = next(corpus.rglob(f"{path.stem}.wav"))
        assert score.end_sec < soundfile.info(recording).duration
        assert all(script.RANGES[41][0] <= note.pitch <= script.RANGES[41][1] for note in score.notes)
        assert score.n_notes > 20


def test_the_sound_is_what_the_labels_say(corpus):
    waveform, _ = soundfile.read(corpus / "test_data" / "9905.wav")
    notes = read_labels(corpus / "test_labels" / "9905.csv").notes
    alone = [
        note for note in notes if sum(n.start_sec < note.end_sec and n.end_sec > note.start_sec for n in notes) == 1
    ]
    n_right = 0
    for note in alone:
        start, end = int((note.start_sec + note.end_sec) / 2 * RATE_HZ), int(note.end_sec * RATE_HZ)
        spectrum = np.abs(np.fft.rfft(waveform[start:end] * np.hanning(end - start), RATE_HZ))
        semitones = [440 * 2 ** ((note.pitch + step - 69) / 12) for step in (-1, 0, 1)]
        n_right += np.argmax([spectrum[round(hz)] for hz in semitones]) == 1
    assert len(alone) > 10
    assert n_right == len(alone)


def test_the_same_seed_gives_the_same_and_another_does_not(script):
    one, again, other = (script.etude(np.random.default_rng(seed), 43, n_sec=10, rate_hz=RATE_HZ) for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("instrument", [41, 43, 74])
def test_the_example_fits_every_instrument(script, instrument):
    low, high = script.RANGES[instrument]
    for semitones in range(-2, 3):
        notes = script.example_notes(instrument, semitones, n_sec=30, rate_hz=RATE_HZ)
        assert all(low <= pitch <= high for _, _, pitch in notes)


def test_an_instrument_is_given_by_its_name_or_its_id(script, tmp_path):
    for told in ("viola", "42"):
        assert command.run(script.define_flags, script.main, [f"--out={tmp_path / told}", f"--instrument={told}"]) == 0
    pitches = {note.pitch for path in tmp_path.rglob("viola/*/*.csv") for note in read_labels(path, instrument=42).notes}
    assert 48 <= min(pitches) < 55 and max(pitches) <= 91
    label = "train_labels/9901.csv"
    assert (tmp_path / "viola" / label).read_bytes() == (tmp_path / "42" / label).read_bytes()


def test_a_missing_folder_name_is_wrong_usage(script, capsys):
    assert command.run(script.define_flags, script.main, []) == 2
    assert "--out is required" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line(script, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command.run(script.define_flags, script.main, [f"--out={tmp_path / 'file'}"]) == 1
    assert "cannot write the corpus" in capsys.readouterr().err
