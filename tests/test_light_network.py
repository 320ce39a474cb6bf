"""The network in ONNX Runtime draws what the Keras model draws: shipped voices, and every option of the config."""

import numpy as np
import pytest

from pnet_tf import light_network, onnx_graph, unet, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.model_config import ModelConfig
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
CONFIGS = {
    "instance": ModelConfig(width=1 / 64, bands=(2, 4)),
    "none": ModelConfig(width=1 / 64, bands=(2, 4), norm="none"),
    "many bands": ModelConfig(width=1 / 32, bands=(1, 16, 32), max_channels=32),
    "no bands": ModelConfig(width=1 / 50, bands=(), norm="none"),
    "note spectra": ModelConfig(width=1 / 64, bands=(2,), norm="none", note_spectra=(60, 70)),
    "note spectra and norms": ModelConfig(width=1 / 64, bands=(2,), note_spectra=(0, 127)),
    "one channel": ModelConfig(width=1 / 64, bands=(1,), max_channels=1),
}


def rolls_of(n_frames, *, batch=1):
    """Notes as scores have them: a few long ones, each with its onset and offset."""
    random = np.random.default_rng(n_frames)
    rolls = {name: np.zeros((batch, n_frames, 128), np.float32) for name in ("pianoroll", "onset_offset")}
    for one in range(batch):
        for start in range(0, n_frames, 23):
            pitch, end = random.integers(55, 86), min(start + random.integers(5, 40), n_frames)
            rolls["pianoroll"][one, start:end, pitch] = 1
            rolls["onset_offset"][one, start, pitch] = 1
            rolls["onset_offset"][one, end - 1, pitch] = -1
    return rolls


@pytest.mark.parametrize(
    "name", ["violin", *(pytest.param(name, marks=pytest.mark.slow) for name in voice_folder.shipped() if name != "violin")]
)
def test_a_shipped_voice_draws_the_same_as_in_keras(name):
    folder = voice_folder.find_voice(name)
    spec, config, facts = voice_folder.open_folder(folder)
    weights = voice_folder.read_weights(folder, light_network.weight_shapes(spec, config))
    draw = light_network.open_network(weights, spec, config, where=name)
    model = voice_folder.model_of_folder(folder, spec, config)
    for rolls in (rolls_of(facts["window_frames"], batch=2), rolls_of(401)):
        drawn, expected = draw(**rolls), np.asarray(model(rolls, training=False))
        assert drawn.dtype == np.float32 and np.ptp(expected) > 5
        np.testing.assert_allclose(drawn, expected, atol=1e-3)


@pytest.fixture(scope="module", params=CONFIGS)
def both(request):
    """A small network of random weights, in Keras and here, and its config."""
    random, config = np.random.default_rng(0), CONFIGS[request.param]
    model = unet.build_performance_net(SPEC, config)
    for variable in model.variables:
        variable.assign(random.normal(0, 1 / np.sqrt(np.prod(variable.shape[:-1])), variable.shape))
    weights = {variable.path: variable.numpy() for variable in model.variables}
    return model, light_network.open_network(weights, SPEC, config, where="here"), config


@pytest.mark.parametrize(("n_frames", "batch"), [(1, 1), (2, 1), (16, 1), (17, 3), (101, 2), (200, 2)])
def test_every_option_draws_the_same_as_in_keras(both, n_frames, batch):
    """Padding takes no part in a norm, so lengths that are no multiple of 16 matter.

    Rolls in which something happens in every channel, and not too short: of a channel that stays about the same the norms make
    noise of rounding, and no two computations agree.
    """
    model, draw, config = both
    if 1 < n_frames < 100 and config.norm == "instance":
        n_frames += 96
    random = np.random.default_rng(n_frames)
    shape = (batch, n_frames, 128)
    rolls = {"pianoroll": random.random(shape) < 0.05, "onset_offset": random.integers(-1, 2, shape)}
    rolls = {name: roll.astype(np.float32) for name, roll in rolls.items()}
    expected = np.asarray(model(rolls, training=False))
    np.testing.assert_allclose(draw(**rolls), expected, atol=1e-3)


def test_its_weights_are_those_of_the_keras_model(both):
    model, _, config = both
    expected = {variable.path: tuple(variable.shape) for variable in model.variables}
    assert light_network.weight_shapes(SPEC, config) == expected


def test_the_papers_plan_has_all_its_parameters():
    shapes = light_network.weight_shapes(SPEC, ModelConfig())
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 249_804_801


def test_a_network_that_onnx_cannot_hold_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 1000)
    config = CONFIGS["none"]
    weights = {name: np.zeros(shape, np.float16) for name, shape in light_network.weight_shapes(SPEC, config).items()}
    with pytest.raises(InputError, match=r"^here: its network has .* GiB of weights, .* use --runtime=tensorflow$"):
        light_network.open_network(weights, SPEC, config, where="here")
