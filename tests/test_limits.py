"""Extreme scores and recordings: each is read, or refused by a limit that its message names and a flag raises."""

import io
import pathlib
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from absl import flags as absl_flags

from pnet_tf import audio_file, command, evaluate, limits, perform_command, prepare, roll
from pnet_tf.audio_file import AudioError
from pnet_tf.errors import UsageError
from pnet_tf.limits import DEFAULT, Limits
from pnet_tf.score import ScoreError, read_score
from pnet_tf.spec import FeatureSpec
from tests.attack.formats import midi, number
from tests.attack.seeds import musicxmls
from tests.small_corpus import HEADER

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz


def csv(path: pathlib.Path, *rows: tuple[float, float, int]) -> pathlib.Path:
    """A label file of notes in seconds."""
    lines = [f"{int(start * RATE_HZ)},{int(end * RATE_HZ)},41,{pitch},0,1,Quarter" for start, end, pitch in rows]
    path.write_text("\n".join([HEADER, *lines, ""]))
    return path


def perform(path: pathlib.Path, capsys, *flags: str) -> str:
    """What `perform` says of a score, without a model: "no such folder" once the score is read."""
    arguments = ["--model=none", f"--score={path}", f"--out={path.parent / 'x.wav'}", *flags]
    assert command.run(perform_command.define_flags, perform_command.main, arguments) in (1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


# --- the limits themselves


def test_limits_hold_inside_and_come_back():
    assert limits.current() is DEFAULT
    with limits.raised_to(Limits(notes=3_000_000)):
        assert limits.current().file_bytes == 3 * DEFAULT.file_bytes
    with pytest.raises(KeyError), limits.raised_to(Limits(notes=1)):
        raise KeyError
    assert limits.current() is DEFAULT
    assert (DEFAULT.score_sec, DEFAULT.notes, DEFAULT.audio_sec) == (4 * 3600, 1_000_000, 2 * 3600)


def flags_of(*arguments: str, audio: bool = True) -> absl_flags.FlagValues:
    """The flags as a command gets them."""
    flags = absl_flags.FlagValues()
    limits.define_flags(flags, audio=audio)
    flags(["", *arguments])
    return flags


def test_flags_raise_them():
    assert limits.of_flags(flags_of()) == DEFAULT
    raised = limits.of_flags(
        flags_of("--max_hours=9.5", "--max_notes=5000000", "--max_audio_hours=12", "--max_reading_sec=60")
    )
    assert raised == Limits(9.5, 5_000_000, 12, 60)
    assert limits.of_flags(flags_of("--max_hours=9", audio=False)) == Limits(hours=9)


@pytest.mark.parametrize(
    "flag", ["--max_hours=nan", "--max_hours=0", "--max_audio_hours=-1", "--max_audio_hours=inf", "--max_hours=1e9"]
)
def test_what_is_no_length_is_wrong_usage(flag):
    with pytest.raises(UsageError, match="expected hours, above 0"):
        limits.of_flags(flags_of(flag))


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "1e308", "1000001"])
def test_what_is_no_time_to_read_is_wrong_usage(seconds):
    with pytest.raises(UsageError, match="expected seconds, above 0 and at most 1000000"):
        limits.of_flags(flags_of(f"--max_reading_sec={seconds}"))


# --- scores


def test_a_score_of_five_hours_needs_a_flag(tmp_path, capsys):
    path = csv(tmp_path / "long.csv", (0, 1, 60), (5 * 3600 - 1, 5 * 3600, 62))
    assert "/long.csv: ends after 5.0 hours, the limit is 4 (cut it in pieces, or raise --max_hours)" in perform(path, capsys)
    assert "none: no such folder" in perform(path, capsys, "--max_hours=6")


def test_too_many_notes_need_a_flag(tmp_path, capsys):
    path = csv(tmp_path / "many.csv", *[(n, n + 1, 60) for n in range(11)])
    assert "more than 10 notes, the limit for one score (cut it in pieces, or raise --max_notes)" in perform(
        path, capsys, "--max_notes=10"
    )
    assert "none: no such folder" in perform(path, capsys, "--max_notes=11")


@pytest.mark.slow
def test_a_million_notes_are_read_and_one_more_needs_a_flag(tmp_path, capsys):
    path = csv(tmp_path / "many.csv", *[(n / 100, n / 100 + 0.01, 60) for n in range(1_000_000)])
    found = read_score(path)
    assert found.n_notes == 1_000_000
    assert roll.note_frames(found, SPEC).n_frames > 10_000 * 172
    with path.open("a") as file:
        file.write("0,1,41,60,0,1,Quarter\n")
    assert "more than 1000000 notes, the limit for one score" in perform(path, capsys)
    assert "none: no such folder" in perform(path, capsys, "--max_notes=2000000")


def test_a_midi_tempo_of_0_is_named(tmp_path, capsys):
    path = tmp_path / "still.mid"
    path.write_bytes(midi([b"\0\xff\x51\x03\0\0\0\0\x90\x3c\x40\x60\x3c\0\0\xff\x2f\0"]))
    assert "the tempo at tick 0 is not usable, expected 3 bytes above 0" in perform(path, capsys)


def test_a_musicxml_tempo_of_0_is_not_used(tmp_path):
    path = tmp_path / "still.musicxml"
    path.write_bytes(musicxmls()[0].replace(b'tempo="90"', b'tempo="0"'))
    assert read_score(path).end_sec == Fraction(9, 2)  # 9 played quarters at the default


@pytest.mark.parametrize("tempo", ["0", "-1", "nan", "inf", "0.01", "1000"])
def test_a_tempo_flag_of_0_is_wrong_usage(tempo, tmp_path, capsys):
    path = csv(tmp_path / "a.csv", (0, 1, 60))
    assert "expected a factor from 0.05 to 20" in perform(path, capsys, f"--tempo={tempo}")


def test_notes_of_0_and_of_10000_seconds_are_played(tmp_path):
    found = read_score(csv(tmp_path / "a.csv", (1, 1, 60), (2, 10_002, 62)))
    frames = roll.note_frames(found, SPEC)
    assert (frames.end - frames.start).tolist() == [1, pytest.approx(10_000 * float(SPEC.frame_rate_hz), abs=1)]


def test_ten_thousand_tracks_are_read_and_one_is_chosen(tmp_path):
    track = b"\0\x90\x3c\x40" + number(480) + b"\x3c\0\0\xff\x2f\0"
    path = tmp_path / "orchestra.mid"
    path.write_bytes(midi([track] * 10_000))
    with pytest.raises(ScoreError, match="10000 parts hold notes, choose one with --part=NAME .* and 9980 more$"):
        read_score(path)
    assert read_score(path, part="10000").n_notes == 1


# --- recordings


def write(path: pathlib.Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str = "FLOAT") -> pathlib.Path:
    """A wav of float32 [samples] or [samples, channels]."""
    soundfile.write(path, samples, rate_hz, format="WAV", subtype=subtype)
    return path


def test_384_khz_is_resampled(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(38_400) / 384_000).astype(np.float32)
    waveform = audio_file.read_waveform(write(tmp_path / "a.wav", tone, 384_000), SPEC)
    expected = np.sin(2 * np.pi * 440 * np.arange(4410) / RATE_HZ)
    assert len(waveform) == 4410
    np.testing.assert_allclose(waveform[500:-500], expected[500:-500], atol=1e-2)  # the delay is known to the sample


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused_before_it_costs_memory(tmp_path, rate_hz):
    data = bytearray(write(tmp_path / "a.wav", np.zeros(100, np.float32)).read_bytes())
    data[24:28] = rate_hz.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(AudioError, match=f"{rate_hz} samples a second, expected 1000 to 768000"):
        audio_file.read_waveform(tmp_path / "a.wav", SPEC)


def test_64_channels_are_averaged_in_blocks_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_file, "_BLOCK_SAMPLES", 6400)
    samples = np.random.default_rng(0).uniform(-1, 1, (1000, 64)).astype(np.float32)
    path = write(tmp_path / "a.wav", samples)
    assert [len(block) for block in audio_file.waveform_blocks(path)] == [100] * 10
    np.testing.assert_allclose(audio_file.read_waveform(path, SPEC), samples.mean(axis=1), atol=1e-6)


def test_a_long_recording_needs_a_flag(tmp_path):
    path = write(tmp_path / "a.wav", np.ones(RATE_HZ * 4, np.float32), subtype="PCM_16")
    with (
        limits.raised_to(Limits(audio_hours=0.001)),
        pytest.raises(AudioError, match="longer than 0.001 hours.*--max_audio_hours"),
    ):
        audio_file.read_waveform(path, SPEC)
    assert len(audio_file.read_waveform(path, SPEC, max_sec=4)) == RATE_HZ * 4


def test_a_small_file_that_unpacks_to_hours_is_refused(tmp_path):
    """Twelve minutes of silence in a few KB; at its end the limit is met, not memory's."""
    packed = io.BytesIO()
    soundfile.write(packed, np.zeros(RATE_HZ * 60 * 12, np.float32), RATE_HZ, format="FLAC")
    assert len(packed.getvalue()) < 200_000
    (tmp_path / "a.flac").write_bytes(packed.getvalue())
    with pytest.raises(AudioError, match="longer than 0.1 hours"):
        audio_file.read_waveform(tmp_path / "a.flac", SPEC, max_sec=360)


def test_prepare_names_the_flag_and_takes_it(tiny_corpus, tmp_path, capsys):
    arguments = ["--instrument=violin", f"--source={tiny_corpus}", f"--out={tmp_path / 'out'}", "--workers=0"]
    arguments += ["--window_frames=64", "--validation_share=0.2"]
    run = lambda *more: command.run(prepare.define_flags, prepare.main, [*arguments, *more])  # noqa: E731
    assert run("--max_audio_hours=0.001") == 1
    assert "longer than 0.001 hours, the limit for one recording" in capsys.readouterr().err
    assert run("--max_hours=0.001") == 1
    assert "raise --max_hours" in capsys.readouterr().err
    assert run() == 0


def test_the_flag_of_each_command_is_there():
    for define in (perform_command.define_flags, prepare.define_flags, evaluate.define_flags):
        flags = absl_flags.FlagValues()
        define(flags)
        assert {"max_hours", "max_notes"} <= set(flags)
