"""A SavedModel computes what the Keras model computes, anywhere TensorFlow runs, and appears whole or not at all."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import export, griffin_lim, hiss_gate, runtimes, savedmodel, stft, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.run_folder import open_run
from pnet_tf.spec import FeatureSpec
from pnet_tf.trained import open_trained

SPEC = FeatureSpec()


def rolls_of(n_frames, *, batch=1, seed=3):
    random = np.random.default_rng(seed)
    return {
        "pianoroll": (random.random((batch, n_frames, SPEC.n_pitches)) < 0.05).astype(np.float32),
        "onset_offset": random.integers(-1, 2, (batch, n_frames, SPEC.n_pitches)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def model(tiny_run):
    return open_trained(tiny_run).build()


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return tf.saved_model.load(str(tiny_model))


@pytest.mark.parametrize(("n_frames", "batch"), [(1, 1), (50, 3), (864, 1)])
def test_spectrogram_is_what_the_keras_model_draws(n_frames, batch, model, loaded):
    rolls = rolls_of(n_frames, batch=batch)
    drawn = loaded.signatures["spectrogram"](**{name: tf.constant(roll) for name, roll in rolls.items()})["log_power"]
    expected = model(rolls, training=False).numpy()
    assert drawn.shape == (batch, n_frames, SPEC.n_bins)
    np.testing.assert_allclose(drawn, expected, atol=1e-4)
    if n_frames > 1:
        assert expected.std() > 0.01


def test_examples_of_a_batch_do_not_meet(loaded):
    rolls = rolls_of(50, batch=2)
    both = loaded.signatures["spectrogram"](**{name: tf.constant(roll) for name, roll in rolls.items()})["log_power"]
    alone = loaded.signatures["spectrogram"](**{name: tf.constant(roll[1:]) for name, roll in rolls.items()})["log_power"]
    np.testing.assert_allclose(both[1:], alone, atol=1e-4)


def test_audio_is_the_spectrogram_put_through_gate_and_griffin_lim(model, loaded, tiny_run):
    """With the iterations and the seed that it is given."""
    rolls = rolls_of(50, batch=2)
    given = {name: tf.constant(roll) for name, roll in rolls.items()}
    sounded = loaded.signatures["audio"](**given, iterations=tf.constant(8), seed=tf.constant(0))
    np.testing.assert_allclose(sounded["log_power"], model(rolls, training=False), atol=1e-4)
    gain = hiss_gate.rest_gain(tf.reduce_any(given["pianoroll"] > 0, axis=2), SPEC)
    levels = {name: tf.constant(open_run(tiny_run).voice[name]) for name in ("noise_floor", "ceiling")}
    assert tf.reduce_max(levels["noise_floor"]) > 0
    gated = hiss_gate.gate(sounded["log_power"], gain, **levels)
    expected = griffin_lim.griffin_lim(stft.magnitude_from_log_power(gated, SPEC), SPEC, iterations=8).numpy()
    assert expected.shape == (2, 49 * SPEC.hop_samples)
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(sounded["waveform"], expected, atol=1e-3 * np.abs(expected).max())
    fewer = loaded.signatures["audio"](**given, iterations=tf.constant(2), seed=tf.constant(0))["waveform"]
    assert np.abs(fewer - expected).max() > 1e-2 * np.abs(expected).max()


def test_inversion_is_griffin_lim_of_the_magnitude(loaded):
    log_power = tf.random.stateless_uniform([1, 40, SPEC.n_bins], [1, 2], maxval=8.0)
    found = loaded.signatures["inversion"](log_power=log_power, iterations=tf.constant(2), seed=tf.constant(0))
    magnitude = stft.magnitude_from_log_power(log_power, SPEC)
    expected = griffin_lim.griffin_lim(magnitude, SPEC, iterations=2, seed=0).numpy()
    np.testing.assert_allclose(found["waveform"], expected, atol=1e-3 * np.abs(expected).max())


def test_the_default_signature_is_the_spectrogram(loaded):
    rolls = {name: tf.constant(roll) for name, roll in rolls_of(20).items()}
    drawn = loaded.signatures["serving_default"](**rolls)
    assert list(drawn) == ["log_power"]
    np.testing.assert_array_equal(drawn["log_power"], loaded.signatures["spectrogram"](**rolls)["log_power"])


def test_spec_and_voice_are_inside_and_each_weight_once(tiny_model, tiny_run, loaded):
    run = open_run(tiny_run)
    assert FeatureSpec.read(tiny_model / "assets") == run.spec
    facts = json.loads((tiny_model / "assets" / "voice.json").read_text())
    assert facts == {**run.voice, "loudness_lufs": None}  # eight steps of training are not heard
    assert pathlib.Path(loaded.spec_asset.asset_path.numpy().decode()) == tiny_model / "assets" / "feature_spec.json"
    names = [name for name, _ in tf.train.list_variables(str(tiny_model / "variables" / "variables"))]
    weights = [name for name in names if name.startswith("variables_of_model/")]
    assert sorted({*names} - {*weights}) == ["_CHECKPOINTABLE_OBJECT_GRAPH"]
    reader = tf.train.load_checkpoint(str(tiny_model / "variables" / "variables"))
    assert sum(reader.get_tensor(name).size for name in weights) == open_trained(tiny_run).build().count_params()


def test_the_loudness_of_the_voice_is_inside(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "loudness_of_voice", lambda *_, **__: -31.2345)
    assert savedmodel.open_voice(export.export_savedmodel(tiny_run, tmp_path / "model")).loudness_lufs == -31.23


def test_without_levels_it_sounds_as_the_network_draws(tiny_run, tmp_path, monkeypatch):
    """From a run and from a voice, whose loudness was measured with them and is measured again."""
    with_levels = export.export_voice(tiny_run, tmp_path / "voice")
    monkeypatch.setattr(export, "loudness_of_voice", lambda *_, **__: -31.2345)
    for name, source in (("a", tiny_run), ("b", with_levels)):
        plain = runtimes.open_voice(export.export_voice(source, tmp_path / name, export.Sounding(levels=False)))
        assert plain.noise_floor is None and plain.ceiling is None and plain.loudness_lufs == -31.23
    kept = runtimes.open_voice(with_levels)
    assert kept.noise_floor is not None and kept.ceiling is not None
    rolls = {name: tf.constant(roll) for name, roll in rolls_of(50).items()}
    model = tf.saved_model.load(str(export.export_savedmodel(tiny_run, tmp_path / "model", export.Sounding(levels=False))))
    sounded = model.signatures["audio"](**rolls, iterations=tf.constant(2), seed=tf.constant(0))
    gain = hiss_gate.rest_gain(tf.reduce_any(rolls["pianoroll"] > 0, axis=2), SPEC)
    gated = hiss_gate.gate(sounded["log_power"], gain)
    expected = griffin_lim.griffin_lim(stft.magnitude_from_log_power(gated, SPEC), SPEC, iterations=2).numpy()
    np.testing.assert_allclose(sounded["waveform"], expected, atol=1e-3 * np.abs(expected).max())
    version = export.export_served(tiny_run, tmp_path / "served", export.Sounding(levels=False))
    assert json.loads((version / "assets" / "voice.json").read_text()).get("noise_floor") is None


def test_peaks_are_those_of_the_network_that_is_exported(tiny_run, tiny_shards, tmp_path, monkeypatch):
    """Measured on the shards that are given, for the recordings that are named, and kept until they are left out."""
    seen = []

    def measured(model, shards, plan, names):
        seen.append((shards.folder, plan.window_frames, tuple(names), model.count_params()))
        return (4.0, 5.0), (0.0, 0.5)

    monkeypatch.setattr(export, "peak_levels", measured)
    voice = export.export_voice(tiny_run, tmp_path / "voice", export.Sounding(match_peaks=tiny_shards))
    run = open_trained(tiny_run)
    assert seen == [(tiny_shards, run.facts["window_frames"], (), run.build().count_params())]
    assert runtimes.open_voice(voice).peaks == ((4.0, 5.0), (0.0, 0.5))
    model = tf.saved_model.load(str(export.export_savedmodel(voice, tmp_path / "model")))
    rolls = {name: tf.constant(roll) for name, roll in rolls_of(50).items()}
    sounded = model.signatures["audio"](**rolls, iterations=tf.constant(2), seed=tf.constant(0))
    levels = hiss_gate.levels(*(getattr(runtimes.open_voice(voice), name) for name in ("noise_floor", "ceiling", "peaks")))
    gain = hiss_gate.rest_gain(tf.reduce_any(rolls["pianoroll"] > 0, axis=2), SPEC)
    magnitude = stft.magnitude_from_log_power(hiss_gate.gate(sounded["log_power"], gain, **levels), SPEC)
    expected = griffin_lim.griffin_lim(magnitude, SPEC, iterations=2).numpy()
    np.testing.assert_allclose(sounded["waveform"], expected, atol=1e-3 * np.abs(expected).max())
    assert savedmodel.open_voice(tmp_path / "model").peaks == ((4.0, 5.0), (0.0, 0.5))
    (voice / "README.md").write_text("card")
    bare = export.export_voice(voice, tmp_path / "bare", export.Sounding(levels=False))
    assert runtimes.open_voice(bare).peaks is None and not (bare / "README.md").exists()
    assert not (export.export_voice(voice, tmp_path / "again", export.Sounding(match_peaks=tiny_shards)) / "README.md").exists()


def test_a_network_that_draws_too_little_keeps_its_peaks_and_says_so(tiny_run, tiny_shards, tmp_path, caplog):
    """Nothing is replaced here: eight steps of training draw next to nothing."""
    with caplog.at_level("WARNING", logger="absl"):
        voice = export.export_voice(tiny_run, tmp_path / "voice", export.Sounding(match_peaks=tiny_shards))
    peaks, said = runtimes.open_voice(voice).peaks, [record.getMessage() for record in caplog.records]
    assert (peaks is None) == any("too little of its own to match its peaks" in line for line in said)
    if peaks is not None:
        assert len(peaks[0]) == 3 and peaks[1][0] == 0


def test_peaks_of_another_instrument_or_of_damaged_shards_are_refused(tiny_run, tiny_shards, tmp_path, monkeypatch):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    record["voice"]["instrument"] = "flute"
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="holds violin, and this is flute"):
        export.export_voice(run, tmp_path / "voice", export.Sounding(match_peaks=tiny_shards))

    def damaged(*_):
        raise tf.errors.DataLossError(None, None, "corrupted record")

    monkeypatch.setattr(export, "peak_levels", damaged)
    with pytest.raises(InputError, match="a shard was changed or damaged .*inspect_shards"):
        export.export_voice(tiny_run, tmp_path / "voice", export.Sounding(match_peaks=tiny_shards))
    assert not (tmp_path / "voice").exists()


def test_the_terms_and_the_card_of_a_voice_go_with_what_is_made_of_it(tiny_run, tmp_path):
    """As voice folder, as SavedModel, and with a run that begins from it, whose card it is not."""
    voice = export.export_voice(tiny_run, tmp_path / "voice")
    assert not (voice / "LICENSE.md").exists() and not (voice / "README.md").exists()
    (voice / "LICENSE.md").write_text("terms")
    (voice / "README.md").write_text("card")
    again = export.export_voice(voice, tmp_path / "again")
    extra = export.export_savedmodel(voice, tmp_path / "model") / "assets.extra"
    for folder in (again, extra):
        assert [(folder / name).read_text() for name in ("LICENSE.md", "README.md")] == ["terms", "card"]
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "LICENSE.md").write_text("terms of what it began from")
    of_run = export.export_voice(run, tmp_path / "of_run")
    assert (of_run / "LICENSE.md").read_text() == "terms of what it began from" and not (of_run / "README.md").exists()


# What a stranger has: TensorFlow, and neither this package nor Keras.
STRANGER = """
import json, sys

if sys.argv[3] == "blocked":
    sys.modules.update(dict.fromkeys(["pnet_tf", "keras", "tf_keras", "tensorflow_io"]))  # None: importing it fails
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2])
rolls = {name: tf.constant(given[name]) for name in ("pianoroll", "onset_offset")}
drawn = model.signatures["spectrogram"](**rolls)["log_power"].numpy()
waveform = model.signatures["audio"](**rolls, iterations=tf.constant(32), seed=tf.constant(0))["waveform"].numpy()
there = sorted(name for name in sys.modules if name.partition(".")[0] in {"pnet_tf", "keras"} and sys.modules[name])
print(json.dumps({
    "error": float(np.abs(drawn - given["expected"]).max()), "finite": bool(np.isfinite(waveform).all()),
    "shape": waveform.shape, "peak": float(np.abs(waveform).max()), "there": there, "version": tf.__version__,
}))
"""


def play_as_a_stranger(python, tiny_model, model, folder, *, blocked):
    rolls = rolls_of(50)
    np.savez(folder / "given.npz", **rolls, expected=model(rolls, training=False).numpy())
    kind = "blocked" if blocked else "free"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(python), "-c", STRANGER, str(tiny_model), str(folder / "given.npz"), kind],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["error"] <= 1e-4
    assert found["finite"]
    assert found["shape"] == [1, 49 * SPEC.hop_samples]
    assert found["peak"] > 1e-4
    return found


def test_it_plays_where_neither_this_package_nor_keras_can_be_imported(tiny_model, model, tmp_path):
    found = play_as_a_stranger(sys.executable, tiny_model, model, tmp_path, blocked=True)
    assert found["there"] == []


@pytest.mark.slow
def test_it_plays_under_the_newest_tensorflow(tiny_model, model, tmp_path):
    """In a fresh environment, with what pip installs today."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    reached = subprocess.run([*pip, "download", "--no-deps", "--dest", str(tmp_path / "probe"), "six"],
                             capture_output=True, text=True, timeout=300)  # fmt: skip
    if reached.returncode:
        pytest.skip(f"pip reaches no index: {reached.stderr.strip().splitlines()[-1]}")
    done = subprocess.run([*pip, "install", "--quiet", "tensorflow"], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    found = play_as_a_stranger(python, tiny_model, model, tmp_path, blocked=False)
    assert tuple(map(int, found["version"].split(".")[:2])) > (2, 17), "pip found no newer TensorFlow than the pinned one"


def test_a_taken_place_is_left_alone(tiny_run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    for out in (tmp_path / "out", tmp_path / "out" / "thesis.tex"):
        with pytest.raises(InputError, match="exists already and is not empty; give another --out"):
            export.export_savedmodel(tiny_run, out)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "thesis.tex"]


@pytest.mark.parametrize("failing", ["save", "replace"])
def test_a_failure_leaves_nothing(failing, tiny_run, tmp_path, monkeypatch):
    def full(model, folder, *arguments, **options):
        pathlib.Path(folder).mkdir(exist_ok=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model if failing == "save" else export.os, failing, full)
    monkeypatch.setattr(export.ExportedVoice, "signatures", lambda self, **options: {})
    with pytest.raises(OSError, match="No space left"):
        export.export_savedmodel(tiny_run, tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.rglob("*") if path.name != "out"] == ["deep"]


def test_a_place_that_is_taken_meanwhile_is_one_line(tiny_run, tmp_path, monkeypatch):
    """By another export, for one, that was begun at the same time."""
    out, write = tmp_path / "voice", voice_folder.write_facts

    def take_the_place(*arguments):
        write(*arguments)
        out.mkdir()
        (out / "theirs").touch()

    monkeypatch.setattr(voice_folder, "write_facts", take_the_place)
    with pytest.raises(InputError, match="something else is there by now; give another --out"):
        export.export_voice(tiny_run, out)
    assert [path.name for path in tmp_path.iterdir()] == ["voice"] and [path.name for path in out.iterdir()] == ["theirs"]


def test_a_run_without_weights_or_with_those_of_another_network_is_refused(tiny_run, tmp_path):
    for name in ("run.json", "feature_spec.json", "model_config.json"):
        (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
    with pytest.raises(InputError, match="no weights there; train until the first validation"):
        export.export_savedmodel(tmp_path, tmp_path / "out")
    (tmp_path / "best.weights.npz").write_bytes((tiny_run / "best.weights.npz").read_bytes())
    config = json.loads((tmp_path / "model_config.json").read_text())
    (tmp_path / "model_config.json").write_text(json.dumps({**config, "width": 1 / 32}))
    with pytest.raises(InputError, match="best.weights.npz: cannot read the weights"):
        export.export_savedmodel(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
