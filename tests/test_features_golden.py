"""Features may not change under the same `schema_version`: half a second against its golden file.

The file is named after the version and made by tests/golden/make_features.py without any code of the package.
"""

import pathlib
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import preparer, roll, stft
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
GOLDEN = pathlib.Path(__file__).parent / "golden" / f"features_v{SPEC.schema_version}.npz"
ADVICE = (
    "the features have changed, and data and voices made before no longer fit: if that is meant, raise "
    f"FeatureSpec.schema_version from {SPEC.schema_version} to {SPEC.schema_version + 1} and make that version's golden file "
    "with tests/golden/make_features.py"
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def score(golden):
    rate = SPEC.sample_rate_hz
    return score_from_notes("golden", [Note(Fraction(a, rate), Fraction(b, rate), p) for a, b, p in golden["notes"].tolist()])


@pytest.fixture(scope="module")
def job(score):
    nowhere = pathlib.Path("nowhere")
    return preparer.Job("golden", nowhere, score, "train", "", nowhere, SPEC, 0.0)


def assert_same_target(got, golden):
    """To the rounding of float16; a gain of 101 instead of 100 is twice as far away."""
    assert got.shape == golden["log_power"].shape, ADVICE
    assert np.abs(got.astype(np.float64) - golden["log_power"]).max() < 0.01, ADVICE


def test_the_schema_version_has_its_golden_file():
    assert GOLDEN.exists(), f"no golden file of schema_version {SPEC.schema_version}: make {GOLDEN.name} with make_features.py"


def test_rolls_are_those_of_the_schema_version(golden, score):
    rolls = roll.rolls_from_score(score, SPEC, n_frames=len(golden["pianoroll"]))
    assert np.array_equal(rolls.pianoroll, golden["pianoroll"]), ADVICE
    assert np.array_equal(rolls.onset_offset, golden["onset_offset"]), ADVICE


def test_targets_are_those_of_the_schema_version(golden):
    levelled = golden["waveform"] * np.float32(golden["level_gain"])
    assert_same_target(stft.log_power(tf.constant(levelled[None]), SPEC)[0].numpy(), golden)


def test_what_is_stored_of_a_recording_is_that_of_the_schema_version(golden, job):
    gain = preparer.level_gain(golden["waveform"], golden["pianoroll"].any(axis=1), job)
    assert gain == pytest.approx(float(golden["level_gain"]), rel=1e-5), ADVICE
    assert_same_target(preparer.log_power_of(golden["waveform"] * np.float32(gain), SPEC), golden)
