"""What a server is promised: the signatures of an exported model, by name, type and shape, as TensorFlow's own tools see them."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from pnet_tf import export, savedmodel
from pnet_tf.spec import FeatureSpec

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEC = FeatureSpec()
FLOAT, INT = 1, 3
ROLLS = {name: (FLOAT, (-1, -1, SPEC.n_pitches)) for name in ("pianoroll", "onset_offset")}
SETTINGS = {"iterations": (INT, ()), "seed": (INT, ())}
LOG_POWER, WAVEFORM = {"log_power": (FLOAT, (-1, -1, SPEC.n_bins))}, {"waveform": (FLOAT, (-1, -1))}
CONTRACT = {
    "serving_default": (ROLLS, LOG_POWER),
    "spectrogram": (ROLLS, LOG_POWER),
    "sound": (ROLLS, WAVEFORM),
    "audio": (ROLLS | SETTINGS, LOG_POWER | WAVEFORM),
    "inversion": (LOG_POWER | SETTINGS, WAVEFORM),
}


def tensors(infos):
    return {name: (info.dtype, tuple(dim.size for dim in info.tensor_shape.dim)) for name, info in infos.items()}


def require_signatures(folder, contract):
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    assert list(graph.meta_info_def.tags) == ["serve"]
    signatures = {name: found for name, found in graph.signature_def.items() if not name.startswith("__")}
    assert {name: (tensors(s.inputs), tensors(s.outputs)) for name, s in signatures.items()} == contract
    assert {found.method_name for found in signatures.values()} == {"tensorflow/serving/predict"}


def test_an_export_has_the_signatures_that_are_promised(tiny_model):
    require_signatures(tiny_model, {name: tensors for name, tensors in CONTRACT.items() if name != "sound"})


@pytest.mark.slow
def test_one_for_a_server_has_sound_besides(tiny_served):
    require_signatures(tiny_served / "1", CONTRACT)


@pytest.mark.slow
def test_a_new_export_is_the_next_version_and_the_one_that_is_opened(tiny_served, tiny_run, tmp_path):
    out = tmp_path / "served"
    shutil.copytree(tiny_served / "1", out / "9")
    assert export.export_served(tiny_run, out) == out / "10"
    assert sorted(path.name for path in out.iterdir()) == ["10", "9"]
    opened = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(savedmodel, "_open_savedmodel", opened.append)
        savedmodel.open_voice(out)
    assert opened == [out / "10"]


def test_the_document_has_them_all():
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", text, re.MULTILINE))
    for name, (inputs, outputs) in CONTRACT.items():
        assert {f"`{tensor}`" for tensor in (inputs | outputs)} <= set(re.findall(r"`\w+`", rows[name])), name


def cli(*arguments):
    program = pathlib.Path(sys.executable).with_name("saved_model_cli")
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([program, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_them_and_a_batch_of_two_is_two_of_one(tiny_served, tmp_path):
    model = tiny_served / "1"
    shown = cli("show", "--dir", model, "--tag_set", "serve")
    assert set(re.findall(r'SignatureDef key: "(\w+)"', shown)) - {"__saved_model_init_op"} == set(CONTRACT)
    random = np.random.default_rng(4)
    rolls = (random.random((2, 40, SPEC.n_pitches)) < 0.05).astype(np.float32)
    np.save(tmp_path / "pianoroll.npy", rolls)
    np.save(tmp_path / "onset_offset.npy", rolls * (random.random(rolls.shape) < 0.3))
    found = {}
    for name, cut in (("both", slice(None)), ("second", slice(1, None))):
        inputs = []
        for roll in ROLLS:
            np.save(tmp_path / f"{name}-{roll}.npy", np.load(tmp_path / f"{roll}.npy")[cut].astype(np.float32))
            inputs.append(f"{roll}={tmp_path / f'{name}-{roll}.npy'}")
        asks = ["--tag_set", "serve", "--signature_def", "sound", "--inputs", ";".join(inputs)]
        cli("run", "--dir", model, *asks, "--outdir", tmp_path / name)
        found[name] = np.load(tmp_path / name / "waveform.npy")
    assert found["both"].shape == (2, SPEC.n_samples(40))
    peak = np.abs(found["second"]).max()
    assert peak > 1e-4
    # Griffin-Lim makes more of the last bits of a network that learnt nothing: 2 % of the peak here.
    np.testing.assert_allclose(found["both"][1:], found["second"], atol=0.05 * peak)
    assert np.abs(found["both"][0] - found["second"][0]).max() > 0.5 * peak
