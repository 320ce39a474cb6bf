"""The door to a voice: which runtime is taken, what is said where one is missing, and the same sound through both."""

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pnet_tf import perform_sound, render, runtimes, score, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


@pytest.fixture
def without(monkeypatch):
    """Makes packages look as if they were not installed."""
    found = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else found(name))

    return hide


def test_a_voice_folder_goes_to_onnx_and_a_savedmodel_to_tensorflow(tiny_voice, tiny_model):
    assert runtimes.open_voice(tiny_voice).runtime == "onnx"
    assert runtimes.open_voice(tiny_voice, runtime="tensorflow").runtime == "tensorflow"
    assert runtimes.open_voice(tiny_model).runtime == "tensorflow"


def test_a_folder_of_a_servers_versions_is_a_savedmodel(tiny_model, tmp_path, without):
    shutil.copytree(tiny_model, tmp_path / "served" / "2")
    assert runtimes.open_voice(tmp_path / "served").runtime == "tensorflow"
    with pytest.raises(InputError, match="served: a SavedModel, which needs --runtime=tensorflow"):
        runtimes.open_voice(tmp_path / "served", runtime="onnx")
    without("tensorflow")
    with pytest.raises(InputError, match="served: a SavedModel needs tensorflow, which is not installed"):
        runtimes.open_voice(tmp_path / "served")


def test_a_folder_that_is_no_voice_is_told_so_whatever_is_installed(tmp_path, without):
    without("tensorflow", "onnxruntime")
    for runtime in ("auto", "tensorflow", "onnx"):
        with pytest.raises(InputError, match=r"nor a voice folder \(no weights.npz\); make one with pnet-export"):
            runtimes.open_voice(tmp_path, runtime=runtime)


def test_without_onnx_runtime_tensorflow_is_taken(tiny_voice, without):
    without("onnxruntime")
    assert runtimes.open_voice(tiny_voice).runtime == "tensorflow"


def test_a_savedmodel_without_tensorflow_says_what_to_install(tiny_model, without):
    without("tensorflow")
    with pytest.raises(InputError, match=r'model: a SavedModel needs tensorflow, .* pip install "pnet_tf\[tf\]"$'):
        runtimes.open_voice(tiny_model)
    with pytest.raises(InputError, match="a SavedModel, which needs --runtime=tensorflow"):
        runtimes.open_voice(tiny_model, runtime="onnx")


@pytest.mark.parametrize(
    ("runtime", "package", "extra"),
    [("auto", "onnxruntime", "play"), ("onnx", "onnxruntime", "play"), ("tensorflow", "tensorflow", "tf")],
)
def test_a_voice_without_its_runtime_says_what_to_install(runtime, package, extra, tiny_voice, without):
    without("tensorflow", "onnxruntime")
    with pytest.raises(InputError, match=rf'this voice needs {package}, .*: pip install "pnet_tf\[{extra}\]"$'):
        runtimes.open_voice(tiny_voice, runtime=runtime)


def test_an_unknown_runtime_and_an_empty_folder_are_refused(tiny_voice, tmp_path):
    with pytest.raises(ValueError, match="runtime is 'jax', expected one of auto, tensorflow, onnx"):
        runtimes.open_voice(tiny_voice, runtime="jax")
    with pytest.raises(InputError, match="not a SavedModel .* nor a voice folder"):
        runtimes.open_voice(tmp_path)
    with pytest.raises(InputError, match="no such folder, and no voice of that name is shipped"):
        runtimes.open_voice("ocarina")


def test_what_is_known_of_a_voice_is_known_through_both(tiny_voice):
    one, other = (runtimes.open_voice(tiny_voice, runtime=runtime) for runtime in ("onnx", "tensorflow"))
    names = ("spec", "instrument", "pitch_frames", "window_frames", "loudness_lufs", "noise_floor", "ceiling", "peaks")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]


@pytest.mark.parametrize("harm", ["cut short", "a bit flipped", "not a number"])
def test_damaged_weights_are_refused_before_anything_is_built(harm, tiny_voice, tmp_path):
    folder = shutil.copytree(tiny_voice, tmp_path / "voice")
    path = folder / "weights.npz"
    data = bytearray(path.read_bytes())
    if harm == "cut short":
        data = data[: len(data) // 2]
    elif harm == "a bit flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if harm == "not a number":
        spec, config, facts = voice_folder.open_folder(folder)
        weights = {name: np.array(array) for name, array in np.load(path).items()}
        weights["bins/bias"][3] = np.nan
        np.savez(path, **weights)
        voice_folder.write_facts(folder, spec, config, facts)
    with pytest.raises(InputError, match=r"weights\.npz: .* get the voice again, or export it again"):
        runtimes.open_voice(folder, runtime="onnx")


def test_a_network_far_larger_than_its_weights_is_never_laid_out(tiny_voice, tmp_path):
    folder = shutil.copytree(tiny_voice, tmp_path / "voice")
    spec, config, facts = voice_folder.open_folder(folder)
    voice_folder.write_facts(folder, spec, type(config)(width=4.0), facts)
    with pytest.raises(InputError, match=r"and the network of spec and config more than"):
        runtimes.open_voice(folder, runtime="onnx")


# --- sound


def melody():
    return score_from_notes("piece", [Note(n, n + 1, pitch) for n, pitch in enumerate((69, 71, 74, 76, 72, 69))])


def test_a_performance_is_the_same_sound_through_both():
    """Level and spectrum; the samples too, but for what 32 rounds make of rounding."""
    sounds, drawn = [], []
    for runtime in ("onnx", "tensorflow"):
        performance = render.perform(melody(), runtimes.open_voice("violin", runtime=runtime))
        sounds.append(performance.waveform)
        drawn.append(performance.log_power)
    assert len(sounds[0]) == len(sounds[1]) == 7 * 44100 // 256 * 256
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-3)
    level_db = [10 * np.log10(np.mean(np.square(sound))) for sound in sounds]
    assert abs(level_db[0] - level_db[1]) < 0.05
    spectra = [np.abs(np.fft.rfft(sound[: len(sound) // 8192 * 8192].reshape(-1, 8192))).mean(axis=0) for sound in sounds]
    assert np.linalg.norm(spectra[0] - spectra[1]) < 0.01 * np.linalg.norm(spectra[1])


def test_a_stream_comes_through_the_light_door():
    voice = runtimes.open_voice("flute", runtime="onnx")
    piece = render.Piece(melody(), voice)
    blocks = list(perform_sound.stream_performance(piece, voice, settings=render.Settings(iterations=2)))
    assert len(blocks) > 1 and sum(map(len, blocks)) == piece.n_samples
    assert np.abs(np.concatenate(blocks)).max() > 0.05


ALONE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {"tensorflow", "tensorflow_io", "keras", "librosa", "matplotlib"}:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from pnet_tf import perform_command
perform_command.console()
"""


@pytest.mark.parametrize("name", ["ode_to_joy_flute.mid", pytest.param("greensleeves_violin.musicxml", marks=pytest.mark.slow)])
def test_a_fresh_process_without_tensorflow_performs(name, tmp_path):
    """Nor Keras, librosa or, without --plot, matplotlib."""
    out, path = tmp_path / "x.wav", voice_folder.SHIPPED.parent.parent / "examples" / name
    arguments = ["--model=violin", f"--score={path}", f"--out={out}", "--tempo=4", "--iterations=1"]
    done = subprocess.run([sys.executable, "-c", ALONE, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(out).duration > 8
    loudness = [line for line in done.stderr.splitlines() if "LUFS" in line]
    assert loudness and "-16" in loudness[-1]
    assert score.read_score(path).notes


def test_the_command_takes_the_runtime_and_says_what_it_lacks(tmp_path):
    example = voice_folder.SHIPPED.parent.parent / "examples" / "ode_to_joy_flute.mid"
    arguments = ["--model=violin", f"--score={example}", f"--out={tmp_path / 'x.wav'}", "--runtime=tensorflow"]
    done = subprocess.run([sys.executable, "-c", ALONE, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith('needs tensorflow, which is not installed: pip install "pnet_tf[tf]"')
    assert list(tmp_path.iterdir()) == []
