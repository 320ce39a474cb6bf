"""Voices are opened once, play as `perform` does, and say how much louder the file is than its stream."""

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from pnet_tf import page_voices, render, savedmodel
from pnet_tf.errors import InputError, UsageError
from pnet_tf.page_voices import Voices
from pnet_tf.render import Performance
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
SCORE = score_from_notes("piece", [Note(Fraction(k), Fraction(k + 1), 60 + k) for k in range(3)])


def blocks_of_a_tone(piece, settings):
    """In place of network and inversion, which other tests have: a tone, in two blocks."""
    tone = 0.02 * np.sin(np.arange(piece.n_samples) / 30).astype(np.float32)
    frames = [np.zeros((piece.n_frames, n), np.float32) for n in (SPEC.n_bins, SPEC.n_pitches)]
    for samples, *parts in zip(np.array_split(tone, 2), *(np.array_split(one, 2) for one in frames)):
        yield Performance(samples, *parts)


@pytest.fixture
def opened(monkeypatch):
    """Folders that were opened."""
    found = []

    def open_one(folder):
        found.append(folder.name)
        return savedmodel.Voice(None, SPEC, folder.name, (1,) * 128, 864, -28.0)

    monkeypatch.setattr(page_voices, "_open", open_one)
    monkeypatch.setattr(render.Piece, "blocks", blocks_of_a_tone)
    return found


def test_two_voices_of_one_name_are_refused(tmp_path):
    for name in ("one/viola", "two/viola"):
        (tmp_path / name).mkdir(parents=True)
    assert Voices([str(tmp_path / "one" / "viola")]).names == ("viola",)
    with pytest.raises(UsageError, match="two of the voices are called the same"):
        Voices([str(tmp_path / "one" / "viola"), str(tmp_path / "two" / "viola")])


def test_the_shipped_voices_are_offered_without_being_opened(opened):
    assert Voices().names == ("cello", "flute", "violin")
    assert opened == []
    with pytest.raises(InputError, match="no voice of that name"):
        Voices(["kazoo"])


def test_a_voice_is_opened_once(opened):
    voices = Voices(["violin"])
    assert voices.names == ("violin",)
    assert voices.voice("violin") is voices.voice("violin")
    assert opened == ["violin"]


def test_file_stream_and_picture_belong_together(opened, tmp_path):
    """What the stream lacks of the file is the gain that is told, away from its ends, where the limiter looks ahead."""
    voices, blocks = Voices(["violin"]), []
    level = voices.level("violin")
    played = voices.perform(SCORE, "violin", tmp_path / "x.wav", iterations=2, on_block=blocks.append)
    sound, _ = soundfile.read(tmp_path / "x.wav")
    live = np.concatenate([*(level.add(block.waveform) for block in blocks), level.flush()])
    assert len(sound) == len(live) == voices.n_samples(SCORE, "violin")
    np.testing.assert_allclose(sound, live * 10 ** (played.change_db / 20), atol=1e-4)
    assert played.change_db != pytest.approx(0, abs=0.5)
    played.draw(tmp_path / "x.png", "title")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_a_score_is_fitted_by_the_voices_name(opened):
    fit = Voices(["violin"]).fit(SCORE, "violin", semitones=12, tempo=2.0)
    assert [note.pitch for note in fit.score.notes] == [72, 73, 74]
    assert fit.score.end_sec == Fraction(3, 2)


def test_warming_plays_through_every_voice(opened, monkeypatch):
    seconds = []
    monkeypatch.setattr(render.Piece, "blocks", lambda piece, settings: seconds.append(piece.n_samples / 44100) or iter(()))
    Voices().warm()
    assert opened == ["cello", "flute", "violin"]
    assert len(seconds) == 3 and min(seconds) > 20
