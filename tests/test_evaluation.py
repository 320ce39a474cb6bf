"""Every candidate meets every recording: the order, what is shared, what is left out, and what a fault in one means."""

import dataclasses
import types

import numpy as np
import pytest

from pnet_tf import evaluation, musicnet, savedmodel
from pnet_tf.errors import InputError, UsageError
from pnet_tf.evaluation_plan import Plan
from pnet_tf.spec import FeatureSpec
from tests.small_corpus import add_recording, waveform_of

SPEC = FeatureSpec()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluation")
    add_recording(root, "1", 2.5)
    add_recording(root, "2", 2, split="test")
    add_recording(root, "3", 1.5, split="test")
    return root


def voice_of(instrument="violin", spec=SPEC):
    return savedmodel.Voice(None, spec, instrument, (1,) * 128, 64)


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Makes models of folders; each plays the notes of its score as the corpus has them, `offset` semitones higher."""
    played = []

    def perform(score, voice, iterations, seed):
        rate = SPEC.sample_rate_hz
        offset, wrong = voice.draw.offset, voice.draw.wrong
        played.append((score.name, seed))
        if wrong == score.name:
            return np.full(100, np.nan, np.float32)
        notes = [(int(n.start_sec * rate), int(n.end_sec * rate), n.pitch + offset) for n in score.notes]
        noise = 1e-3 * np.random.default_rng(seed if voice.draw.random else 0).standard_normal(notes[-1][1])
        return (waveform_of(notes, notes[-1][1]) + noise).astype(np.float32)

    def make(name, *, offset=0, wrong="", random=False, **fields):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        facts = types.SimpleNamespace(offset=offset, wrong=wrong, random=random)
        voices[folder] = dataclasses.replace(voice_of(**fields), draw=facts)
        return str(folder)

    voices = {}
    monkeypatch.setattr(savedmodel, "open_voice", lambda folder: voices[folder])
    monkeypatch.setattr(evaluation, "_perform", perform)
    return types.SimpleNamespace(make=make, played=played)


def values(report, name):
    candidate = next(one for one in report["candidates"] if one["name"] == name)
    return {metric: figures["value"] for metric, figures in candidate["values"].items()}


def test_models_and_controls_are_measured_on_every_test_recording(source, play):
    models = play.make("good"), play.make("sharp", offset=1)
    report = evaluation.evaluate(Plan(models, source, controls=("recording", "late", "mean_spectrum"), iterations=2))
    assert [one["name"] for one in report["candidates"]] == [
        "good", "sharp", "recording", "recording, 3 s late", "mean spectrum per note",
    ]
    assert [one["name"] for one in report["compared"]] == ["2", "3"]
    assert play.played == [("2", 0), ("2", 0), ("3", 0), ("3", 0)]
    good, sharp, recording = (values(report, name) for name in ("good", "sharp", "recording"))
    assert recording["log_mel_error_db"] == 0 and recording["chroma_cosine"] == 1
    assert 0 < good["log_mel_error_db"] < sharp["log_mel_error_db"]
    assert good["pitch_accuracy"] > 0.8 and sharp["pitch_accuracy"] < 0.1
    assert "learnt from 1 training recordings" in report["candidates"][-1]["about"]
    assert report["asked"]["instrument"] == "violin"


def test_seeds_are_played_each_and_measured_where_they_differ(source, play, monkeypatch):
    counts = []
    tally = evaluation.metrics_tally.tally
    monkeypatch.setattr(evaluation.metrics_tally, "tally", lambda *a, **k: counts.append(1) or tally(*a, **k))
    plan = Plan((play.make("same"), play.make("random", random=True)), source, recordings=("3",), seeds=(0, 1, 2), controls=())
    report = evaluation.evaluate(plan)
    assert len(play.played) == 6 and len(counts) == 1 + 3
    same, random = (one["values"]["log_mel_error_db"] for one in report["candidates"])
    assert same["seed_deviation"] == 0 < random["seed_deviation"]
    assert len(set(random["by_seed"])) == 3


def test_a_recording_that_one_cannot_play_is_compared_by_none(source, play, caplog):
    models = play.make("good"), play.make("broken", wrong="2")
    report = evaluation.evaluate(Plan(models, source, controls=("recording",)))
    assert [one["name"] for one in report["compared"]] == ["3"]
    assert report["not_compared"] == {"2": "2: broken makes a sound that is no numbers (NaN or infinite)"}
    assert all(set(one["recordings"]) == {"3"} for one in report["candidates"])


def test_nothing_to_compare_is_an_error(source, play, tmp_path):
    plan = Plan((play.make("broken", wrong="3"),), source, recordings=("3",), controls=(), html=tmp_path / "page")
    with pytest.raises(InputError, match="none of 1 recordings can be used: 3: broken"):
        evaluation.evaluate(plan)
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_a_control_that_cannot_be_had_is_left_out_with_its_reason(source, play, monkeypatch, tmp_path):
    monkeypatch.setattr(evaluation.soundfont, "find_soundfont", lambda: None)
    corpus = musicnet.open_corpus(source, "violin")
    made, left_out = evaluation.make_controls(Plan((), source, controls=("late", "soundfont")), corpus, "violin", SPEC)
    assert [one.name for one in made] == ["recording, 3 s late"]
    assert left_out == {"soundfont": "no soundfont found; give one with --soundfont"}
    monkeypatch.setenv("PATH", str(tmp_path))
    asked_for = Plan((), source, controls=("soundfont",), soundfont=tmp_path / "x.sf2")
    with pytest.raises(InputError, match="fluidsynth is not installed"):
        evaluation.make_controls(asked_for, corpus, "violin", SPEC)


def test_a_soundfont_plays_the_instrument_s_program(source, monkeypatch, tmp_path):
    class Font:
        def __init__(self, path, program):
            self.path, self.program = path, program

        def play(self, score, spec):
            return np.full(len(score.notes), self.program, np.float32)

    monkeypatch.setattr(evaluation.soundfont, "Soundfont", Font)
    plan = Plan((), source, controls=("soundfont",), soundfont=tmp_path / "GM.sf2")
    (sampler,), _ = evaluation.make_controls(plan, musicnet.open_corpus(source, "violin"), "violin", SPEC)
    assert sampler.name == "soundfont GM" and "program 40" in sampler.about


def test_a_source_without_training_recordings_has_no_simplest_learner(tmp_path, play):
    add_recording(tmp_path / "source", "1", 1, split="test")
    report = evaluation.evaluate(Plan((play.make("good"),), tmp_path / "source", controls=("mean_spectrum",)))
    assert report["left_out"] == {"mean_spectrum": "the source has no recordings to learn it from"}


def test_models_are_called_by_their_folders_and_by_whole_paths_where_those_are_alike(play, tmp_path):
    one, two, other = play.make("a/violin"), play.make("b/violin"), play.make("viola")
    assert list(evaluation.open_voices([one, other])) == ["violin", "viola"]
    assert list(evaluation.open_voices([one, two])) == [one, two]
    with pytest.raises(UsageError, match="given twice"):
        evaluation.open_voices([one, f"{tmp_path}/b/../a/violin"])


def test_models_that_cannot_be_compared_are_refused(source, play):
    violin = play.make("violin")
    with pytest.raises(UsageError, match=r"several instruments \(cello, violin\): say which with --instrument"):
        evaluation.evaluate(Plan((violin, play.make("cello", instrument="cello")), source))
    slow = play.make("slow", spec=dataclasses.replace(SPEC, sample_rate_hz=SPEC.sample_rate_hz // 2))
    with pytest.raises(InputError, match="slow: sounds at"):
        evaluation.evaluate(Plan((violin, slow), source))
    with pytest.raises(UsageError, match="recording is also the name of a control"):
        evaluation.evaluate(Plan((play.make("recording"),), source, controls=("recording",)))


def test_a_model_of_another_instrument_can_be_measured(source, play):
    plan = Plan((play.make("cello", instrument="cello"),), source, recordings=("3",), controls=(), instrument="violin")
    assert evaluation.evaluate(plan)["candidates"][0]["about"].startswith("a voice of cello")
