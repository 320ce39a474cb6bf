"""The network: the paper's plan, any length, what reaches an output frame, and its config."""

import keras
import numpy as np
import numpy_network
import pytest

from pnet_tf import blocks, unet, windows
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec
from pnet_tf.unet import ModelConfig

SPEC = FeatureSpec()


@pytest.fixture(scope="module")
def small_model():
    keras.utils.set_random_seed(0)
    return unet.build_performance_net(SPEC, ModelConfig(width=1 / 64, bands=(2, 4)))


def draw(model, n_frames, batch=1, seed=0):
    random = np.random.default_rng(seed)
    rolls = {
        "pianoroll": (random.random((batch, n_frames, 128)) < 0.05).astype(np.float32),
        "onset_offset": random.integers(-1, 2, (batch, n_frames, 128)).astype(np.float32),
    }
    return rolls, np.asarray(model(rolls))


@pytest.mark.parametrize(("width", "n_parameters"), [(1.0, 249_804_801), (0.25, 16_249_089)])
def test_parameters_are_as_many_as_in_the_paper_s_plan(width, n_parameters):
    with keras.StatelessScope(initialize_variables=False):
        assert unet.build_performance_net(SPEC, ModelConfig(width=width)).count_params() == n_parameters


@pytest.mark.parametrize("n_frames", [96, 90])
def test_the_network_is_the_plan_worked_out_in_numpy(n_frames):
    """Every layer, which times meet at the skips and conditions, and what padding is left out; biases too."""
    keras.utils.set_random_seed(2)
    model = unet.build_performance_net(SPEC, ModelConfig(width=1 / 64, bands=(2, 4)))
    random = np.random.default_rng(3)
    model.set_weights([w + (0.1 * random.normal(size=w.shape) if w.ndim == 1 else 0) for w in model.get_weights()])
    rolls, out = draw(model, n_frames)
    expected = numpy_network.forward(model, rolls["pianoroll"][0], rolls["onset_offset"][0])
    assert expected.std() > 0.1
    np.testing.assert_allclose(out[0], expected, atol=1e-3)


@pytest.mark.parametrize("n_frames", [1, 2, 15, 16, 17, 31, 100, 161])
def test_as_many_frames_come_out_as_go_in(small_model, n_frames):
    _, out = draw(small_model, n_frames)
    assert out.shape == (1, n_frames, SPEC.n_bins)
    assert np.isfinite(out).all()


def test_examples_of_a_batch_do_not_see_one_another(small_model):
    rolls, out = draw(small_model, 33, batch=2)
    alone = np.asarray(small_model({name: value[1:] for name, value in rolls.items()}))
    np.testing.assert_allclose(alone[0], out[1], atol=1e-4)


def test_every_input_of_the_window_matters(small_model):
    rolls, out = draw(small_model, 64)
    for name in rolls:
        changed = {**rolls, name: rolls[name] + 1.0 * (np.arange(64) == 20)[None, :, None].astype(np.float32)}
        assert np.abs(np.asarray(small_model(changed)) - out).max() > 1e-3


def test_the_receptive_field_is_no_wider_than_what_windows_of_the_training_length_share(monkeypatch):
    """With the norms taken away, a changed frame reaches 128 frames to either side and no further."""
    from pnet_tf import blocks

    monkeypatch.setattr(blocks.InstanceNorm, "call", lambda self, x, score: x)
    keras.utils.set_random_seed(1)
    model = unet.build_performance_net(SPEC, ModelConfig(width=1 / 64, bands=(2, 4, 8, 16)))
    rolls, out = draw(model, 640)
    reached = np.zeros(640, bool)
    for name in rolls:
        changed = {**rolls, name: rolls[name].copy()}
        changed[name][0, 320] += 100.0
        reached |= np.abs(np.asarray(model(changed)) - out).max(axis=(0, 2)) > 0
    furthest = max(320 - np.flatnonzero(reached)[0], np.flatnonzero(reached)[-1] - 320)
    assert 64 < furthest <= 128
    starts = windows.window_starts(5000, 864)
    assert 864 - np.diff(starts).max() >= 2 * furthest


def test_without_norms_a_window_shows_what_the_whole_shows():
    """Beyond the receptive field of the window's ends; instance norms do not have this (docs/results.md, the joins)."""
    keras.utils.set_random_seed(2)
    model = unet.build_performance_net(SPEC, ModelConfig(width=1 / 64, norm="none"))
    rolls, whole = draw(model, 640)
    window = np.asarray(model({name: value[:, 160:560] for name, value in rolls.items()}))
    np.testing.assert_allclose(window[:, 128:-128], whole[:, 288:432], atol=1e-4 * np.abs(whole).max())
    assert np.abs(window[:, 0] - whole[:, 160]).max() > 1e-2


def test_without_norms_biases_learn_and_the_first_output_is_neither_tiny_nor_huge():
    keras.utils.set_random_seed(2)
    model = unet.build_performance_net(SPEC, ModelConfig(width=1 / 16, norm="none"))
    assert len(model.trainable_weights) == len(model.weights)
    assert not [layer for layer in model.layers if isinstance(layer, blocks.InstanceNorm)]
    assert model.count_params() == unet.build_performance_net(SPEC, ModelConfig(width=1 / 16)).count_params()
    _, out = draw(model, 64)
    assert 1e-3 < np.abs(out).std() < 1e3


def test_no_hidden_layer_has_more_than_max_channels():
    config = ModelConfig(width=1 / 16, max_channels=48, bands=(2, 4, 8))
    model = unet.build_performance_net(SPEC, config)
    widths = {layer.name: layer.filters for layer in model.layers if hasattr(layer, "filters")}
    assert widths.pop("bins") == SPEC.n_bins
    assert max(widths.values()) == 48
    assert (widths["encoder0_conv1"], widths["encoder4_conv2"], widths["decoder3_up"]) == (16, 48, 48)
    assert ModelConfig.from_json(config.to_json(), where="x") == config
    for wrong in (0, 1.5, "many", True):
        with pytest.raises(InputError, match="max_channels is .*, expected a whole number above 0"):
            ModelConfig(max_channels=wrong)
    with pytest.raises(InputError, match="50 hidden channels .* cannot be split"):
        ModelConfig(max_channels=50, bands=(4,))


def test_a_norm_that_is_not_known_is_refused():
    with pytest.raises(InputError, match="norm is 'batch', this version knows instance, none"):
        ModelConfig(norm="batch")


def test_a_config_from_before_there_was_a_norm_has_the_papers():
    text = '{"preset": "paper", "width": 0.5, "bands": [2, 4]}'
    assert ModelConfig.from_json(text, where="model_config.json") == ModelConfig(width=0.5, bands=(2, 4), norm="instance")


def test_layers_have_names_that_stay(small_model):
    names = [layer.name for layer in small_model.layers if layer.weights]
    assert names[0] == "encoder0_conv1"
    assert {"condition2_conv2", "decoder3_up", "decoder0_conv2", "texture1_conv2", "bins"} <= set(names)
    assert not [name for name in names if name.startswith(("conv1d", "band_conv"))]


def test_same_seed_same_weights():
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        models.append(unet.build_performance_net(SPEC, ModelConfig(width=1 / 64, bands=(2,))))
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_biases_before_norms_are_fixed_and_mean_nothing():
    """Whatever they are, the output is the same: learning them would be following rounding."""
    keras.utils.set_random_seed(0)
    model = unet.build_performance_net(SPEC, ModelConfig(width=1 / 64, bands=(2, 4)))
    learnt = [variable.path for variable in model.trainable_variables if variable.path.endswith("bias")]
    assert learnt == ["bins/bias"]
    fixed = [variable for variable in model.variables if not variable.trainable]
    assert len(fixed) == 16 + 4 + 8 + 2 * 2 and not any(np.any(variable.numpy()) for variable in fixed)
    random = np.random.default_rng(0)
    rolls = {name: (random.random((1, 48, SPEC.n_pitches)) < 0.1).astype(np.float32) for name in model.input}
    before = model(rolls, training=False).numpy()
    for variable in fixed:
        variable.assign(random.normal(size=variable.shape))
    np.testing.assert_allclose(model(rolls, training=False).numpy(), before, atol=2e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_norms_and_output_are_never_halves(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = unet.build_performance_net(SPEC, ModelConfig(width=1 / 64, bands=(2, 4)))
    finally:
        keras.config.set_dtype_policy(before)
    whole, compute = ("float64", "float64") if policy == "float64" else ("float32", policy.removeprefix("mixed_"))
    norms = [layer for layer in model.layers if isinstance(layer, blocks.InstanceNorm)]
    assert len(norms) == 16 + 4 + 8 + 2 * 2
    assert {layer.compute_dtype for layer in norms} == {whole} == {variable.dtype for variable in model.variables}
    assert model.output.dtype == whole
    assert model.get_layer("encoder0_conv1").compute_dtype == model.get_layer("texture0_conv1").compute_dtype == compute
