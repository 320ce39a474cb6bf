"""What the controls of the page do: scores chosen, fitted, performed, refused in words, and their copies removed."""

import os
import pathlib
import struct
import time
import types

import numpy as np
import pytest

from pnet_tf import page_desk, perform_fit, savedmodel
from pnet_tf.errors import InputError
from pnet_tf.mastering import StreamLevel
from pnet_tf.page_desk import Bounds, Desk, Wishes
from pnet_tf.page_session import DONE, Stage
from pnet_tf.spec import FeatureSpec

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
LABELS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"
SPEC = FeatureSpec()
BOUNDS = Bounds(max_minutes=1, max_upload_mb=0.1, max_notes=800)


class FakeVoices:
    """Voices that heard C4 to B5 and play a second of a tone."""

    names = ("cello", "violin")

    def voice(self, name):
        return savedmodel.Voice(None, SPEC, name, tuple(int(60 <= pitch < 84) for pitch in range(128)), 864)

    def fit(self, score, name, *, semitones, tempo):
        return perform_fit.fit_score(score, self.voice(name), semitones=semitones, tempo=tempo)

    def level(self, name):
        return StreamLevel(SPEC.sample_rate_hz, 0.0)

    def n_samples(self, score, name):
        return SPEC.sample_rate_hz

    def perform(self, score, name, out, *, iterations, on_block):
        tone = np.full(SPEC.sample_rate_hz, 0.1, np.float32)
        on_block(types.SimpleNamespace(waveform=tone, log_power=np.zeros((172, SPEC.n_bins), np.float32)))
        out.write_bytes(b"RIFF")
        return types.SimpleNamespace(change_db=1.5, draw=lambda path, title: path.write_text(title))


@pytest.fixture
def desk(tmp_path):
    folders = [tmp_path / name for name in ("scores", "performances", "uploads")]
    for folder in folders:
        folder.mkdir()
    stage = Stage(folders[1])
    stage.start()
    yield Desk(FakeVoices(), stage, folders[0], uploads=folders[2], bounds=BOUNDS)
    stage.close()


@pytest.fixture(autouse=True)
def _read_in_this_process(monkeypatch):
    """Processes of their own are test_page_reading's."""

    def read(self, path, *, number=None, instruments=(), who=None):
        from pnet_tf import limits, page_reading

        with limits.raised_to(self._bounds):
            return page_reading._read(path, number, instruments)

    monkeypatch.setattr(page_desk.Reader, "read", read)


def labels(tmp_path, *notes, name="score.csv"):
    """A score of (seconds, instrument, pitch), each half a second long."""
    path = tmp_path / "uploads" / name
    lines = [f"{int(at * 44100)},{int((at + 0.5) * 44100)},{who},{pitch},0,1,Quarter\n" for at, who, pitch in notes]
    path.write_text(LABELS + "".join(lines))
    return path


def test_a_score_is_copied_read_and_forgotten(desk, tmp_path):
    choice = desk.choose(labels(tmp_path, (0, 41, 60)), "../my <b>tune</b>.csv")
    assert choice.path.is_relative_to(tmp_path / "scores") and choice.path.name == "score.csv"
    assert choice.name == "b>.csv" and choice.title == "b>"
    desk.forget(choice.path)
    assert list((tmp_path / "scores").iterdir()) == []


def test_the_bundled_examples_are_those_of_the_repository(desk):
    assert sorted(path.name for path in desk.examples().values()) == sorted(
        path.name for path in EXAMPLES.iterdir() if path.suffix != ".md"
    )
    for path in desk.examples().values():
        assert path.read_bytes() == (EXAMPLES / path.name).read_bytes()


def test_an_example_takes_the_voice_it_is_for(desk):
    names = list(desk.examples())
    assert names == ["Bach cello suite 1 prelude", "Greensleeves violin", "Ode to joy flute"]
    assert [desk.voice_for(desk.choose(desk.examples()[name], name)) for name in names[:2]] == ["cello", "violin"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG", "“x.png” is not a score that can be read here."),
        (b"", "“x.png” is empty."),
        (b"x" * 100_001, "“x.png” is larger than 0.1 MB"),
    ],
)
def test_what_is_no_score_is_refused_and_leaves_nothing(desk, tmp_path, content, said):
    path = tmp_path / "uploads" / "x.png"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        desk.choose(path, "x.png")
    assert str(caught.value).startswith(said)
    assert list((tmp_path / "scores").iterdir()) == []


def test_a_path_that_was_not_uploaded_is_not_read(desk, tmp_path):
    mine = desk.choose(labels(tmp_path, (0, 41, 60)), "mine.csv").path
    (tmp_path / "uploads" / "link.csv").symlink_to(mine)
    os.mkfifo(tmp_path / "uploads" / "pipe.mid")
    taken = [mine, pathlib.Path("/etc/passwd"), pathlib.Path("/dev/zero")]
    taken += [tmp_path / "uploads" / name for name in ("link.csv", "pipe.mid", "none.mid", "../scores", ".")]
    for path in taken:
        with pytest.raises(InputError, match="^“x.mid” has not arrived here. Give it again."):
            desk.choose(path, "x.mid")
    assert list((tmp_path / "scores").iterdir()) == [mine.parent]


def test_too_many_notes_are_refused(desk, tmp_path):
    with pytest.raises(InputError, match="more than 800 notes, the most that this page plays"):
        desk.choose(labels(tmp_path, *[(k / 100, 41, 60) for k in range(801)]), "x.csv")


def test_what_cannot_be_played_is_said_before_it_is_asked_for(desk, tmp_path):
    choice = desk.choose(labels(tmp_path, (0, 41, 50), (1, 41, 60)), "x.csv")
    shown = desk.show(choice, Wishes("violin"))
    assert shown["problems"] == [
        "Too low for a violin: D3 (1 note). Its lowest note is G3.",
        "It fits better an octave higher than written.",
    ]
    assert shown["piece"]["notes"] == [[0.0, 0.5, 50], [1.0, 1.5, 60]] and shown["piece"]["wrong"] == [50]
    higher = desk.show(choice, Wishes("violin", None, 2.0))
    assert (higher["problems"], higher["remarks"]) == ([], ["Played an octave higher than written."])
    assert higher["piece"]["seconds"] == 0.75 and higher["playable"]


def test_parts_are_named_and_chosen(desk, tmp_path):
    choice = desk.choose(labels(tmp_path, (0, 1, 60), (0, 41, 62)), "x.csv")
    assert (choice.found.parts, choice.found.number) == (("acoustic grand piano", "violin"), 2)
    other = desk.choose_part(choice, 1)
    assert [note.pitch for note in other.found.score.notes] == [60]
    assert desk.show(other, Wishes("violin"))["remarks"][0].endswith("Now playing: acoustic grand piano.")


def test_a_slow_tempo_may_make_it_too_long(desk, tmp_path):
    choice = desk.choose(labels(tmp_path, (0, 41, 60), (50, 41, 60)), "x.csv")
    assert desk.show(choice, Wishes("violin"))["playable"]
    slow = Wishes("violin", 0, 0.5)
    shown = desk.show(choice, slow)
    assert not shown["playable"] and shown["problems"][0].startswith("It would last 1:41; this page plays up to 1 minute.")
    with pytest.raises(InputError, match="Choose a tempo of 0.85 or more"):
        desk.begin(choice, slow)


def test_why_a_score_was_refused_stands_in_the_log_in_one_line(desk, tmp_path, caplog):
    path = tmp_path / "uploads" / "x.abc"
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match="cannot be read as ABC"):
        desk.choose(path, "x.abc")
    assert ["music21" in line and "\n" not in line for line in caplog.messages] == [True]


def test_no_note_left_is_said(desk, tmp_path):
    choice = desk.choose(labels(tmp_path, (0, 41, 120)), "x.csv")
    shown = desk.show(choice, Wishes("violin", 24))
    assert (shown["piece"], shown["playable"]) == (None, False)
    assert shown["problems"] == ["No note of it can be played 2 octaves higher than written."]


def test_a_performance_is_sent_written_and_drawn(desk):
    name, path = next(iter(desk.examples().items()))
    job = desk.begin(desk.choose(path, name), Wishes("cello"))
    while not job.is_over:
        time.sleep(0.005)
    messages = list(job.fetch())
    kinds = b"".join(message[:1] for message in messages)
    assert (job.state, kinds) == (DONE, b"jcscsjj"), messages[-1]
    n_bytes = sum(struct.unpack_from("<cI", message)[1] for message in messages if message[:1] == b"s")
    assert n_bytes == 2 * SPEC.sample_rate_hz
    assert b'"change_db": 1.5' in messages[-2]
    assert (job.folder / "sound.wav").exists()
    assert (job.folder / "picture.png").read_text() == "Bach cello suite 1 prelude, cello"
    assert job.name == "bach-cello-suite-1-prelude-cello"


def test_saved_files_have_harmless_names():
    assert page_desk.safe_name('../"x\r\n<é>, violin') == "x-violin"
    assert page_desk.safe_name("♯♯") == "performance"


