"""FluidSynth is asked for the right thing, with a stand-in for it; its MIDI is read by another reader."""

import io
import os
import stat
import sys
from fractions import Fraction

import numpy as np
import pretty_midi
import pytest

from pnet_tf import soundfont
from pnet_tf.errors import InputError
from pnet_tf.score import Note, read_score, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
HEAD = b"RIFF\0\0\0\0sfbk"
# Writes down what it is called with, and a second of tone into the file behind -F.
STAND_IN = """#!{python}
import math, struct, sys, wave
open(sys.argv[0] + ".said", "w").write("\\n".join(sys.argv[1:]))
{fault}
with wave.open(sys.argv[sys.argv.index("-F") + 1], "wb") as file:
    file.setnchannels(2), file.setsampwidth(2), file.setframerate(int(sys.argv[sys.argv.index("-r") + 1]))
    tone = [int({peak} * math.sin(k / 10)) for k in range(44100)]
    file.writeframes(b"".join(struct.pack("<hh", value, value) for value in tone))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a stand-in for FluidSynth on the path, and nothing else; gives a soundfont."""

    def put(*, fault="", peak=8000):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / soundfont.PROGRAM
        program.write_text(STAND_IN.format(python=sys.executable, fault=fault, peak=peak))
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", str(folder))
        (tmp_path / "font.sf2").write_bytes(HEAD + b"more")
        return tmp_path / "font.sf2"

    return put


def score_of(*notes):
    return score_from_notes("piece", [Note(Fraction(a), Fraction(b), pitch) for a, b, pitch in notes])


SCORE = score_of(("1/4", "1/2", 60), ("1/2", "3/4", 60), ("1/2", "20", 72), ("100", "100", 127))


def test_another_reader_finds_the_notes_and_the_program():
    (track,) = pretty_midi.PrettyMIDI(io.BytesIO(soundfont.midi_from_score(SCORE, 40))).instruments
    assert track.program == 40
    found = sorted((note.start, note.end, note.pitch) for note in track.notes)
    expected = [(0.25, 0.5, 60), (0.5, 0.75, 60), (0.5, 20, 72), (100, 100.0005, 127)]
    assert [time for note in found for time in note] == pytest.approx([time for note in expected for time in note])


def test_a_note_is_let_go_before_the_next_of_its_pitch_begins():
    data = soundfont.midi_from_score(score_of((0, 1, 60), (1, 2, 60)), 40)
    begin, end = bytes([0x90, 60, 80]), bytes([0x80, 60, 0])
    assert data.find(begin) < data.find(end) < data.rfind(begin) < data.rfind(end)


def test_our_own_reader_finds_them_exactly(tmp_path):
    (tmp_path / "x.mid").write_bytes(soundfont.midi_from_score(SCORE, 40))
    assert read_score(tmp_path / "x.mid").notes[:3] == SCORE.notes[:3]


def test_a_score_is_played_at_the_spec_s_rate(install, tmp_path):
    font = soundfont.Soundfont(install(), 40)
    waveform = font.play(SCORE, SPEC)
    assert waveform.shape == (44100,) and waveform.dtype == np.float32
    assert np.abs(waveform).max() == pytest.approx(8000 / 32768, abs=1e-3)
    said = (tmp_path / "bin" / f"{soundfont.PROGRAM}.said").read_text().split("\n")
    assert said[said.index("-r") + 1] == str(SPEC.sample_rate_hz)
    assert said[-2] == str(tmp_path / "font.sf2")
    assert said[-1].endswith(".mid") and not os.path.exists(said[-1])


def test_without_the_program_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="fluidsynth is not installed"):
        soundfont.Soundfont(tmp_path / "font.sf2", 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fault": "sys.stderr.write('no\\n memory'); sys.exit(3)"}, r"font.sf2: fluidsynth fails \(exit code 3: no memory\)"),
        ({"fault": "sys.exit(0)"}, r"fluidsynth fails \(exit code 0: it says nothing\)"),
        ({"peak": 1}, "font.sf2: fluidsynth plays silence with it; is it a soundfont, with program 40?"),
    ],
)
def test_what_goes_wrong_shows_at_once_in_one_line(install, options, message):
    path = install(**options)
    with pytest.raises(InputError, match=message):
        soundfont.Soundfont(path, 40)


def test_a_program_that_cannot_be_started_is_one_line(install, tmp_path):
    path = install()
    (tmp_path / "bin" / soundfont.PROGRAM).write_text("#!/no such interpreter\n")
    with pytest.raises(InputError, match="fluidsynth cannot be started"):
        soundfont.Soundfont(path, 40)


def test_a_file_that_is_no_soundfont_is_refused_before_fluidsynth_passes_over_it(install, tmp_path):
    install()
    (tmp_path / "x.sf2").write_bytes(b"MThd and more bytes")
    with pytest.raises(InputError, match="x.sf2: not a soundfont"):
        soundfont.Soundfont(tmp_path / "x.sf2", 40)
    with pytest.raises(InputError, match="no.sf2: no such soundfont"):
        soundfont.Soundfont(tmp_path / "no.sf2", 40)


def test_a_well_known_soundfont_is_found_first(tmp_path, monkeypatch):
    places = tmp_path / "none", tmp_path / "one", tmp_path / "two"
    monkeypatch.setattr(soundfont, "_PLACES", places)
    assert soundfont.find_soundfont() is None
    for path in (places[1] / "A.sf2", places[1] / "note.txt", places[2] / "FluidR3_GM.sf2"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert soundfont.find_soundfont() == places[2] / "FluidR3_GM.sf2"
    (places[2] / "FluidR3_GM.sf2").unlink()
    assert soundfont.find_soundfont() == places[1] / "A.sf2"
