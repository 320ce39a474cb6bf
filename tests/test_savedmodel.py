"""Opening a voice, and saying in one line why something is none."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import checkpoint, export, savedmodel, unet, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.savedmodel import Voice, open_voice
from pnet_tf.spec import FeatureSpec
from pnet_tf.unet import ModelConfig


def rolls_of(n_frames, *, batch):
    random = np.random.default_rng(3)
    shape = (batch, n_frames, 128)
    rolls = {"pianoroll": random.random(shape) < 0.05, "onset_offset": random.integers(-1, 2, shape)}
    return {name: tf.constant(roll, tf.float32) for name, roll in rolls.items()}


def test_a_voice_knows_its_instrument_and_what_it_heard(tiny_model):
    """The labels of the tiny corpus: two training recordings, MIDI 57 to 74."""
    voice = open_voice(tiny_model)
    assert voice.spec == FeatureSpec()
    assert (voice.instrument, voice.window_frames) == ("violin", 64)
    assert voice.heard == {57, 59, 60, 61, 62, 64, 65, 66, 67, 69, 71, 72, 73, 74}
    assert voice.pitch_frames[72] == pytest.approx((0.12 + 0.15 + 0.13) * 44100 / 256, abs=3)


def test_heard_are_the_pitches_with_frames():
    assert Voice(None, FeatureSpec(), "violin", (0, 5, 0, 1), 64).heard == {1, 3}


@pytest.mark.parametrize(("n_frames", "batch"), [(1, 1), (50, 3), (864, 1)])
def test_a_voice_folder_draws_what_the_savedmodel_draws(n_frames, batch, tiny_model, tiny_voice):
    """But for the rounding of its weights to float16."""
    rolls = rolls_of(n_frames, batch=batch)
    drawn, expected = (open_voice(folder).draw(**rolls).numpy() for folder in (tiny_voice, tiny_model))
    assert drawn.shape == (batch, n_frames, 1025) and drawn.dtype == np.float32
    error = np.sqrt(np.mean((drawn - expected) ** 2))
    assert error < 0.03 * np.sqrt(np.mean(expected**2)), error


def test_a_voice_of_either_format_knows_the_same(tiny_model, tiny_voice):
    ours, theirs = (dataclasses.replace(open_voice(folder), draw=None) for folder in (tiny_voice, tiny_model))
    assert ours == theirs


def test_a_voice_folder_is_traced_once_whatever_the_lengths(tiny_voice):
    voice = open_voice(tiny_voice)
    for n_frames, batch in ((16, 1), (40, 2), (50, 1)):
        voice.draw(**rolls_of(n_frames, batch=batch))
    assert voice.draw.experimental_get_tracing_count() == 1


def test_of_the_versions_that_a_server_is_given_the_newest_is_opened(tmp_path, monkeypatch):
    """As numbers, not as text; a folder of another name, or without a model, is none."""
    monkeypatch.setattr(savedmodel, "_open_savedmodel", lambda folder: folder)
    for name in ("2", "10", "11", "latest"):
        (tmp_path / "violin" / name).mkdir(parents=True)
        if name != "11":
            (tmp_path / "violin" / name / "saved_model.pb").touch()
    assert open_voice(tmp_path / "violin") == tmp_path / "violin" / "10"
    assert open_voice(tmp_path / "violin" / "2") == tmp_path / "violin" / "2"


def test_what_is_no_voice_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(InputError, match="not a SavedModel .*, nor a voice folder .*; make one with pnet-export"):
            open_voice(folder)


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_a_savedmodel_of_another_program_says_so(copy):
    (copy / "assets" / "feature_spec.json").unlink()
    with pytest.raises(InputError, match="holds no feature_spec.json"):
        open_voice(copy)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "3", "[" * 100_000, '{"instrument": "x", "pitch_frames": [1e999], "window_frames": 64}']
    + ['{"instrument": "x", "pitch_frames": 3, "window_frames": 64}']
    + [json.dumps({"instrument": "x", "pitch_frames": [1] * n, "window_frames": w}) for n, w in ((128, 0), (3, 64))]
    + [json.dumps({"instrument": "x", "pitch_frames": [-1] * 128, "window_frames": 64})]
    + [
        json.dumps({"instrument": "x", "pitch_frames": [1] * 128, "window_frames": 64, name: levels})
        for name in ("noise_floor", "ceiling")
        for levels in (3, [0.1], [0.1] * 1024 + [-0.1], [0.1] * 1024 + [float("nan")], [0.1] * 1024 + [1e9], ["x"] * 1025)
    ]
    + [json.dumps({"instrument": "x", "pitch_frames": [1] * 128, "window_frames": 64, "peaks": 3})],
)
def test_damaged_facts_about_the_voice_are_named(copy, text):
    (copy / "assets" / "voice.json").write_text(text)
    with pytest.raises(InputError, match="voice.json: cannot read what the voice is"):
        open_voice(copy)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "empty", "rubbish"])
def test_a_damaged_savedmodel_is_named(copy, name, damage):
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "rubbish": b"\xff" * len(whole)}[damage])
    with pytest.raises(InputError, match=f"{copy}: (damaged SavedModel|has no signature)") as refused:
        open_voice(copy)
    assert "export it again" in str(refused.value)


def test_a_savedmodel_without_our_signatures_is_refused(tiny_model, tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    shutil.copytree(tiny_model / "assets", tmp_path / "bare" / "assets", dirs_exist_ok=True)
    with pytest.raises(InputError, match="has no signature spectrogram; export it again"):
        open_voice(tmp_path / "bare")


def test_a_spec_that_does_not_fit_the_network_is_refused(copy):
    path = copy / "assets" / "feature_spec.json"
    path.write_text(path.read_text().replace('"n_fft": 2048', '"n_fft": 1024'))
    with pytest.raises(InputError, match="has 513 bins, the model draws 1025; export it again"):
        open_voice(copy)


class Hostile(tf.Module):
    """Draws silence, and on the way does what no network has to."""

    def __init__(self, harm):
        super().__init__()
        self.harm = harm

    @tf.function(input_signature=[tf.TensorSpec([None, None, 128], tf.float32, name=n) for n in ("pianoroll", "onset_offset")])
    def spectrogram(self, pianoroll, onset_offset):
        with tf.control_dependencies([self.harm()]):
            return {"log_power": tf.zeros([1, 1, 1025]) + 0 * tf.reduce_sum(pianoroll + onset_offset)}


@pytest.mark.parametrize(
    ("operation", "harm"),
    [
        ("WriteFile", lambda path: lambda: tf.io.write_file(path, "ran")),
        ("ReadFile", lambda path: lambda: tf.io.read_file(path)),
        ("StringFormat", lambda path: lambda: tf.print("ran", output_stream=f"file://{path}")),
        ("ImmutableConst", lambda path: lambda: tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=[1], memory_region_name=path)),
        ("DebugIdentity", lambda path: lambda: tf.raw_ops.DebugIdentity(input=1.0, debug_urls=[f"file://{path}"])),
        ("Abort", lambda path: lambda: tf.raw_ops.Abort()),
        ("EagerPyFunc", lambda path: lambda: tf.py_function(lambda: 1, [], tf.int32)),
        ("SaveV2", lambda path: lambda: tf.raw_ops.SaveV2(prefix=path, tensor_names=["a"], shape_and_slices=[""], tensors=[1.0])),
    ],
)
def test_a_savedmodel_that_reaches_out_is_refused_before_it_is_loaded(operation, harm, tiny_model, tmp_path, monkeypatch):
    hostile, ran = tmp_path / "hostile", tmp_path / "ran"
    module = Hostile(harm(str(ran)))
    tf.saved_model.save(module, str(hostile), signatures={"spectrogram": module.spectrogram})
    shutil.copytree(tiny_model / "assets", hostile / "assets", dirs_exist_ok=True)
    monkeypatch.setattr(tf.saved_model, "load", lambda folder: pytest.fail("loaded"))
    with pytest.raises(InputError, match=f"^{hostile}: holds the operation {operation}, which draws no sound"):
        open_voice(hostile)
    assert not list(tmp_path.glob("ran*"))


def test_a_savedmodel_that_runs_when_it_is_loaded_is_refused(tiny_model, tmp_path):
    """As TensorFlow 1 wrote them, with an operation of its own for the start."""
    hostile, ran = tmp_path / "hostile", tmp_path / "ran"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        roll = tf.compat.v1.placeholder(tf.float32, [None, None, 128])
        signature = tf.compat.v1.saved_model.predict_signature_def({"pianoroll": roll}, {"log_power": roll + 0.0})
        builder = tf.compat.v1.saved_model.Builder(str(hostile))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"spectrogram": signature}, main_op=tf.group(tf.io.write_file(str(ran), "ran"))
        )
        builder.save()
    shutil.copytree(tiny_model / "assets", hostile / "assets", dirs_exist_ok=True)
    with pytest.raises(InputError, match="is a SavedModel of TensorFlow 1, which runs when it is loaded"):
        open_voice(hostile)
    assert not ran.exists()


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_all_that_our_exports_hold_computes(norm, tmp_path):
    spec, config = FeatureSpec(), ModelConfig(width=1 / 128, bands=(2, 4), norm=norm)
    (tmp_path / "voice").mkdir()
    voice_folder.write_weights(tmp_path / "voice", checkpoint.weights_of(unet.build_performance_net(spec, config)))
    facts = {"instrument": "oboe", "pitch_frames": [2] * 128, "window_frames": 64, "loudness_lufs": -20.0}
    voice_folder.write_facts(tmp_path / "voice", spec, config, facts)
    assert open_voice(export.export_savedmodel(tmp_path / "voice", tmp_path / "model")).instrument == "oboe"


def test_a_graph_that_never_ends_is_one_line(tiny_model, tmp_path):
    copied = shutil.copytree(tiny_model, tmp_path / "model")
    (copied / "saved_model.pb").unlink()
    (copied / "saved_model.pb").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="saved_model.pb: not a regular file"):
        open_voice(copied)
