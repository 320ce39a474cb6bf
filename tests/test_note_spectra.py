"""The layer of notes' spectra: power added up note by note, recordings with colours of their own, any precision."""

import keras
import numpy as np
import pytest
from test_note_decay import response

from pnet_tf import note_decay, unet
from pnet_tf.model_config import ModelConfig
from pnet_tf.note_decay import SCALE
from pnet_tf.note_spectra import NoteSpectra
from pnet_tf.spec import FeatureSpec

N_BINS, N_FRAMES = 5, 40


def rolls_of(n_frames=N_FRAMES, batch=2):
    random = np.random.default_rng(3)
    pianoroll = (random.random((batch, n_frames, 128)) < 0.2).astype(np.float32)
    return pianoroll, random.integers(-1, 2, (batch, n_frames, 128)).astype(np.float32)


def random_layer(**options):
    layer, random = NoteSpectra(60, 62, N_BINS, **options), np.random.default_rng(1)
    layer.build()
    for variable in layer.variables:
        variable.assign(random.normal(0, 0.1, variable.shape))
    return layer


def expected(layer, pianoroll, onset_offset, own=None):
    """The same, frame by frame and note by note, for one example: [frames, bins]."""
    value = {variable.name: np.asarray(variable) for variable in layer.variables}
    own = own or {"levels": 0, "bins": 0, "held": np.zeros(note_decay.N_HELD), "struck": np.zeros(note_decay.N_STRUCK)}
    power = np.exp(SCALE * (value["background"] + own["levels"]))[None]
    rolls = {"held": (pianoroll, note_decay.held_filters()), "struck": (np.maximum(onset_offset, 0), note_decay.struck_filters())}
    for name, (roll, filters) in rolls.items():
        for row, pitch in enumerate(range(60, 63)):
            spectra = value[name].reshape(3, filters.shape[1], N_BINS)[row]
            shift = own[name][:, None] + own["levels"]
            power = power + response(filters, roll[:, pitch]) @ np.exp(SCALE * (spectra + shift))
    return np.log1p(power) + own["bins"]


def test_it_adds_up_the_power_of_notes_that_sound_and_ring_on():
    layer, (pianoroll, onset_offset) = random_layer(), rolls_of()
    drawn = np.asarray(layer(pianoroll, onset_offset))
    assert drawn.shape == (2, N_FRAMES, N_BINS) and drawn.std() > 0.5
    for one in range(2):
        np.testing.assert_allclose(drawn[one], expected(layer, pianoroll[one], onset_offset[one]), atol=1e-4)


def test_each_example_has_the_colour_of_its_recording_and_an_unknown_one_none():
    layer, (pianoroll, onset_offset) = random_layer(n_recordings=2), rolls_of(batch=3)
    drawn = np.asarray(layer(pianoroll, onset_offset, np.array([1, 0, 2])))
    for one, place in enumerate((1, 0, None)):
        own = None if place is None else {name: np.asarray(weight)[place] for name, weight in layer.own.items()}
        np.testing.assert_allclose(drawn[one], expected(layer, pianoroll[one], onset_offset[one], own), atol=1e-4)


def test_notes_outside_its_pitches_are_the_background():
    layer, (pianoroll, onset_offset) = random_layer(), rolls_of()
    pianoroll[..., 60:63] = onset_offset[..., 60:63] = 0
    background = np.log1p(np.exp(SCALE * np.asarray(layer.background)))
    np.testing.assert_allclose(np.asarray(layer(pianoroll, onset_offset)) - background, 0, atol=1e-5)


def test_it_is_made_again_from_its_config():
    layer = NoteSpectra(40, 50, 7, n_recordings=3, name="x")
    again = NoteSpectra.from_config(layer.get_config())
    assert (again.lowest, again.highest, again.n_bins, again.n_recordings, again.name) == (40, 50, 7, 3, "x")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_power_beyond_what_halves_hold_is_drawn_in_any_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = unet.build_performance_net(FeatureSpec(), ModelConfig(width=1 / 64, bands=(2,), note_spectra=(60, 62)))
    finally:
        keras.config.set_dtype_policy(before)
    layer = model.get_layer(note_decay.LAYER)
    layer.held.assign(np.full(layer.held.shape, 1.5))  # e^15, in float16 no number
    pianoroll, onset_offset = rolls_of(batch=1)
    drawn = np.asarray(model({"pianoroll": pianoroll, "onset_offset": onset_offset}))
    sounds = pianoroll[0, :, 60:63].any(axis=1)
    assert drawn.dtype == (np.float64 if policy == "float64" else np.float32)
    assert np.isfinite(drawn).all() and drawn[0, sounds].min() > 14.9


def test_a_new_network_draws_its_notes_spectra_alone():
    config = ModelConfig(width=1 / 64, bands=(2,), note_spectra=(60, 62), recordings=("a", "b"))
    model = unet.build_performance_net(FeatureSpec(), config)
    assert list(model.input) == ["pianoroll", "onset_offset", "recording"]
    pianoroll, onset_offset = rolls_of(17, batch=1)
    recording = np.array([1], np.int32)
    drawn = np.asarray(model({"pianoroll": pianoroll, "onset_offset": onset_offset, "recording": recording}))
    alone = np.asarray(model.get_layer(note_decay.LAYER)(pianoroll, onset_offset, recording))
    assert np.ptp(drawn) > 1
    np.testing.assert_allclose(drawn, alone, atol=1e-5)
