"""Trained weights are found in run folders and voice folders, and fit what goes on from them or are refused."""

import dataclasses
import hashlib
import shutil

import keras
import numpy as np
import pytest

from pnet_tf import checkpoint, run_folder, trained, training, unet, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.run_folder import Run
from pnet_tf.settings import Settings
from pnet_tf.spec import FeatureSpec, SpecMismatchError
from pnet_tf.unet import ModelConfig

SPEC = FeatureSpec()
CONFIG = ModelConfig(width=1 / 128, bands=(2,))
FACTS = {"instrument": "oboe", "pitch_frames": [2] * 128, "window_frames": 64}


@pytest.fixture(scope="module")
def weights():
    return checkpoint.weights_of(unet.build_performance_net(SPEC, CONFIG))


@pytest.fixture(scope="module")
def run_dir(weights, tmp_path_factory):
    """A run folder with best weights; read it only."""
    run = Run(tmp_path_factory.mktemp("trained") / "run", SPEC, CONFIG, training={}, voice=FACTS)
    run_folder.start_run(run, flag_text="")
    checkpoint.save_weights(run.best_weights, weights)
    return run.folder


@pytest.fixture(scope="module")
def voice(weights, tmp_path_factory):
    """The same as a voice folder; read it only."""
    folder = tmp_path_factory.mktemp("trained")
    voice_folder.write_weights(folder, weights)
    voice_folder.write_facts(folder, SPEC, CONFIG, {**FACTS, "loudness_lufs": -20.0})
    return folder


def rounded(weights):
    return {name: array.astype(np.float16).astype(np.float32) for name, array in weights.items()}


def require_equal(model, expected):
    found = checkpoint.weights_of(model)
    assert set(found) == set(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_run_folder_gives_its_best_weights_and_a_voice_the_same_in_halves(run_dir, voice, weights):
    require_equal(trained.open_trained(run_dir).build(), weights)
    require_equal(trained.open_trained(voice).build(), rounded(weights))
    assert trained.open_trained(run_dir).facts == FACTS
    assert trained.open_trained(str(voice)).facts["loudness_lufs"] == -20.0


def test_a_shipped_voice_is_found_by_its_name(voice, weights, tmp_path, monkeypatch):
    shutil.copytree(voice, tmp_path / "oboe")
    monkeypatch.setattr(voice_folder, "SHIPPED", tmp_path)
    require_equal(trained.open_trained("oboe").build(), rounded(weights))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_halves_go_into_a_network_of_any_precision(policy, voice, weights):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = unet.build_performance_net(SPEC, CONFIG)
    finally:
        keras.config.set_dtype_policy(before)
    trained.open_trained(voice).load_into(model)
    require_equal(model, rounded(weights))
    assert {variable.dtype for variable in model.variables} == {"float64" if policy == "float64" else "float32"}


def test_what_is_neither_says_so(tmp_path):
    with pytest.raises(InputError, match=r"neither a run folder \(no run.json\) nor a voice folder \(no voice.json\)"):
        trained.open_trained(tmp_path)
    with pytest.raises(InputError, match="no such folder, and no voice of that name is shipped"):
        trained.open_trained(str(tmp_path / "missing"))


def test_first_weights_are_recorded_by_name_and_digest(run_dir, voice):
    for folder, name in ((run_dir, "best.weights.npz"), (voice, "weights.npz")):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert trained.first_weights(str(folder), SPEC, CONFIG) == {"name": str(folder), "sha256": digest}


@pytest.mark.parametrize("kind", ["run_dir", "voice"])
def test_another_network_or_spec_is_refused_with_field_and_both_values(kind, request):
    source = str(request.getfixturevalue(kind))
    with pytest.raises(SpecMismatchError, match=r"target_gain is 1\.0 in the data and 100\.0 in .*"):
        trained.first_weights(source, FeatureSpec(target_gain=1.0), CONFIG)
    with pytest.raises(InputError, match=r"another network \(width is 0\.25 here and 0\.0078125 there\); give its --preset"):
        trained.first_weights(source, SPEC, dataclasses.replace(CONFIG, width=0.25))
    with pytest.raises(InputError, match=r"bands is \(2, 1\) here and \(2,\) there"):
        trained.first_weights(source, SPEC, dataclasses.replace(CONFIG, bands=(2, 1)))


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
@pytest.mark.parametrize(("kind", "name"), [("run_dir", "best.weights.npz"), ("voice", "weights.npz")])
def test_damaged_weights_are_one_line_before_anything_begins(damage, kind, name, request, tmp_path):
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "copy")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content[:5000] if damage == "cut" else content)
    if damage == "gone":
        (folder / name).unlink()
    with pytest.raises(InputError, match=f"{folder}/{name}: ") as refused:
        trained.first_weights(str(folder), SPEC, CONFIG)
    assert "\n" not in str(refused.value)


def test_a_run_folder_into_which_a_voice_was_copied_is_a_run_folder(run_dir, voice, weights, tmp_path):
    folder = shutil.copytree(run_dir, tmp_path / "run")
    shutil.copy(voice / "voice.json", folder)
    require_equal(trained.open_trained(folder).build(), weights)
    (folder / "weights.npz").write_bytes(b"no weights")
    require_equal(trained.open_trained(folder).build(), weights)


def test_first_weights_that_are_no_numbers_are_one_line_before_anything_begins(run_dir, weights, tmp_path):
    folder = shutil.copytree(run_dir, tmp_path / "run")
    kernel = "encoder0_conv1/kernel"
    checkpoint.save_weights(folder / "best.weights.npz", {**weights, kernel: np.full_like(weights[kernel], np.nan)})
    with pytest.raises(InputError, match=f"{folder}/best.weights.npz: {kernel} holds numbers that are not finite"):
        trained.first_weights(str(folder), SPEC, CONFIG)


def test_a_run_from_a_voice_that_went_on_learns_what_an_unbroken_one_learns(voice, tiny_shards, tmp_path):
    """Also when the voice is gone by then."""
    shutil.copytree(voice, tmp_path / "voice")
    settings = Settings(
        *(tiny_shards, tmp_path / "whole", CONFIG),
        **{"batch_size": 4, "window_frames": 64, "test_every": 100, "strategy": "one", "pictures": 0, "loss": "mae"},
        **{"precision": "float64", "ema_decay": 0.9, "learning_rate": 1e-4, "init_from": str(tmp_path / "voice")},
    )
    parts = dataclasses.replace(settings, run_dir=tmp_path / "parts")
    assert training.train(dataclasses.replace(settings, steps=3))
    assert training.train(dataclasses.replace(parts, steps=1))
    shutil.rmtree(tmp_path / "voice")
    assert training.train(dataclasses.replace(parts, steps=3))
    (ours, _), (theirs, _) = (checkpoint.newest_whole(tmp_path / name / "checkpoints", seed=0) for name in ("whole", "parts"))
    for part in ("model", "averaged"):
        for name, array in ours[part].items():
            np.testing.assert_allclose(array, theirs[part][name], atol=1e-6)
    kernel = "encoder0_conv1/kernel"
    moved = np.abs(ours["model"][kernel] - np.load(voice / "weights.npz")[kernel]).max()
    assert 1e-5 < moved < 1e-3


# --- recordings with a colour of their own

OWN = dataclasses.replace(CONFIG, note_spectra=(60, 70), recordings=("a", "b", "c"))


@pytest.fixture(scope="module")
def of_recordings(tmp_path_factory):
    """A run folder of a network that knows three recordings, of random weights, and that network; read it only."""
    run = Run(tmp_path_factory.mktemp("trained") / "run", SPEC, OWN, training={}, voice=FACTS)
    run_folder.start_run(run, flag_text="")
    model, random = unet.build_performance_net(SPEC, OWN), np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(random.normal(0, 0.05, variable.shape))
    checkpoint.save_weights(run.best_weights, checkpoint.weights_of(model))
    return run.folder, model


def rolls_of(n_frames):
    random = np.random.default_rng(1)
    pianoroll = (random.random((1, n_frames, 128)) < 0.1).astype(np.float32)
    return {"pianoroll": pianoroll, "onset_offset": random.integers(-1, 2, pianoroll.shape).astype(np.float32)}


def test_what_is_exported_sounds_like_the_recording_that_is_named(of_recordings):
    folder, model = of_recordings
    drawn = []
    for place, name in enumerate(OWN.recordings):
        plain, ours = trained.open_trained(folder).for_use([name])
        assert plain.config == dataclasses.replace(OWN, recordings=()) and plain.facts == FACTS
        drawn.append(np.asarray(ours(rolls_of(50))))
        expected = np.asarray(model({**rolls_of(50), "recording": np.array([place], np.int32)}))
        np.testing.assert_allclose(drawn[-1], expected, atol=1e-4)
    assert np.abs(drawn[0] - drawn[1]).max() > 0.1


def test_without_a_name_it_is_the_mean_of_all(of_recordings):
    source = trained.open_trained(of_recordings[0])
    all_three = checkpoint.weights_of(source.for_use()[1])
    require_equal(source.for_use(["c", "a", "b"])[1], all_three)
    alone = [checkpoint.weights_of(source.for_use([name])[1]) for name in "abc"]
    for name, array in all_three.items():
        np.testing.assert_allclose(array, np.mean([one[name] for one in alone], axis=0), atol=1e-6)


def test_a_recording_that_it_does_not_know_is_refused(of_recordings, run_dir):
    with pytest.raises(InputError, match=r"knows no recording x, y to sound like \(it knows a, b, c\)"):
        trained.open_trained(of_recordings[0]).for_use(["a", "x", "y"])
    with pytest.raises(InputError, match=r"knows no recording a to sound like \(it was trained without --per_recording\)"):
        trained.open_trained(run_dir).for_use(["a"])
    source = trained.open_trained(run_dir)
    assert source.for_use()[0] is source


def test_recordings_that_nothing_was_learnt_from_have_no_colour(of_recordings, tmp_path):
    folder, model = of_recordings
    weights = checkpoint.weights_of(model)
    for name in ("levels", "held", "struck", "bins"):
        weights[f"note_spectra/recording_{name}"][1] = 0
    folder = shutil.copytree(folder, tmp_path / "run")
    checkpoint.save_weights(folder / "best.weights.npz", weights)
    source = trained.open_trained(folder)
    require_equal(source.for_use()[1], checkpoint.weights_of(source.for_use(["a", "c"])[1]))
    with pytest.raises(InputError, match="learnt nothing from b: too few steps, or no part as long as a window"):
        source.for_use(["a", "b"])


def test_other_recordings_are_refused_with_what_helps(of_recordings, run_dir):
    with pytest.raises(InputError, match="has 3 recordings .* has 0, or others; export it with --format=voice first"):
        trained.first_weights(str(of_recordings[0]), SPEC, dataclasses.replace(OWN, recordings=()))
    with pytest.raises(InputError, match="has 0 recordings .* this training has 3, or others; leave --per_recording away"):
        trained.first_weights(str(run_dir), SPEC, OWN)
    with pytest.raises(InputError, match=r"note_spectra is \(60, 70\) here and None there\); give its .*--note_spectra$"):
        trained.first_weights(str(run_dir), SPEC, dataclasses.replace(OWN, recordings=()))


def test_spectra_of_pitches_that_no_roll_has_are_refused(of_recordings, tmp_path):
    folder = shutil.copytree(of_recordings[0], tmp_path / "run")
    (folder / "feature_spec.json").write_text(dataclasses.replace(SPEC, n_pitches=64).to_json())
    with pytest.raises(InputError, match=r"model_config.json: note_spectra is \(60, 70\), and a roll has 64 pitches"):
        trained.open_trained(folder)
