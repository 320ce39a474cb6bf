"""The numbers that training and use share: their values, their JSON form, and how two specs are compared."""

import dataclasses
import hashlib
import json
from fractions import Fraction

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec, SpecMismatchError, require_same

# Typed out, in the form that is stored: a change of it is a change of every shard set, run and voice.
DEFAULT_JSON = """{
  "frame_alignment": "centred",
  "hop_samples": 256,
  "level_rms": 0.05,
  "n_fft": 2048,
  "n_pitches": 128,
  "onset_encoding": "onset_plus_offset_minus",
  "pad_mode": "zeros",
  "sample_rate_hz": 44100,
  "schema_version": 1,
  "target_gain": 100.0,
  "target_scale": "log1p_power",
  "window": "hann_periodic"
}
"""


def test_the_default_is_stored_as_it_always_was():
    assert FeatureSpec().to_json() == DEFAULT_JSON
    assert FeatureSpec().digest() == hashlib.sha256(DEFAULT_JSON.encode()).hexdigest()


def test_what_is_derived_is_exact():
    spec = FeatureSpec()
    assert spec.n_bins == 1025
    assert spec.frame_rate_hz == Fraction(11025, 64)
    assert float(spec.frame_rate_hz) == 172.265625
    assert [spec.n_frames(n) for n in (0, 255, 256, 44100)] == [1, 1, 2, 173]
    assert [spec.n_samples(n) for n in (0, 1, 2, 864)] == [0, 0, 256, 220928]


@settings(max_examples=30, deadline=None)
@given(n_samples=st.integers(1, 5000))
def test_frames_are_counted_as_librosa_counts_them(n_samples):
    spec = FeatureSpec(n_fft=64, hop_samples=16)
    padded = np.zeros(n_samples + 64, np.float32)
    assert spec.n_frames(n_samples) == librosa.stft(padded, n_fft=64, hop_length=16, center=False).shape[1]


@given(
    spec=st.builds(
        FeatureSpec,
        schema_version=st.integers(1, 9),
        sample_rate_hz=st.integers(1, 200_000),
        target_gain=st.floats(1e-3, 1e6),
        level_rms=st.floats(1e-3, 1) | st.just(1),
    )
)
def test_json_and_back_is_the_same_spec(spec):
    assert FeatureSpec.from_json(spec.to_json(), where="here") == spec


def test_an_integer_gain_is_the_same_spec_as_its_float():
    assert FeatureSpec(target_gain=1).digest() == FeatureSpec(target_gain=1.0).digest()
    assert FeatureSpec(target_gain=1).digest() != FeatureSpec().digest()


def test_a_spec_is_read_from_its_folder(tmp_path):
    spec = FeatureSpec(target_gain=3)
    (tmp_path / "feature_spec.json").write_text(spec.to_json())
    assert FeatureSpec.read(tmp_path) == spec


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sample_rate_hz": 44100.0}, "sample_rate_hz is 44100.0, expected a value of type int"),
        ({"n_pitches": True}, "n_pitches is True, expected a value of type int"),
        ({"target_gain": "100"}, "target_gain is '100', expected a value of type float"),
        ({"target_gain": float("nan")}, "target_gain is nan, expected a number above 0"),
        ({"target_gain": float("inf")}, "target_gain is inf"),
        ({"target_gain": 1e-30}, "target_gain is 1e-30, expected 1e-06 to 1e+09"),
        ({"target_gain": 1e30}, "target_gain is 1e+30, expected 1e-06 to 1e+09"),
        ({"level_rms": 0}, "level_rms is 0.0, expected a number above 0"),
        ({"schema_version": -1}, "schema_version is -1"),
        ({"window": "hann"}, "window is 'hann', this version knows hann_periodic"),
        ({"pad_mode": "reflect"}, "pad_mode is 'reflect', this version knows zeros"),
        ({"hop_samples": 300}, "n_fft 2048 must be even and a multiple of hop_samples 300"),
        ({"hop_samples": 2048}, "at least twice it"),
        ({"n_fft": 3, "hop_samples": 1}, "must be even"),
    ],
    ids=str,
)
def test_impossible_values_are_refused_wherever_they_come_from(fields, expected):
    with pytest.raises(InputError) as caught:
        FeatureSpec(**fields)
    assert expected in str(caught.value)
    stored = json.dumps({**dataclasses.asdict(FeatureSpec()), **fields})
    with pytest.raises(InputError) as caught:
        FeatureSpec.from_json(stored, where="a/feature_spec.json")
    assert str(caught.value).startswith("a/feature_spec.json: feature spec: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{", b"\xff", "[" * 100_000, "{}"])
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(InputError, match="^here: not a feature spec"):
        FeatureSpec.from_json(text, where="here")


def test_missing_and_unknown_fields_are_named():
    fields = dataclasses.asdict(FeatureSpec())
    del fields["target_gain"]
    with pytest.raises(InputError, match=r"missing \['target_gain'\], unknown \['gain'\]"):
        FeatureSpec.from_json(json.dumps({**fields, "gain": 1}), where="here")


def test_a_folder_without_a_spec_is_named(tmp_path):
    with pytest.raises(InputError, match=r"feature_spec\.json: cannot read the feature spec \(No such file"):
        FeatureSpec.read(tmp_path)


def test_equal_specs_pass_and_different_ones_say_which_field_where():
    spec = FeatureSpec()
    require_same(spec, FeatureSpec(), our_place="the model", their_place="the data")
    other = FeatureSpec(target_gain=1, level_rms=0.1)
    with pytest.raises(SpecMismatchError) as caught:
        require_same(spec, other, our_place="the model", their_place="the data")
    message = str(caught.value)
    assert "target_gain is 100.0 in the model and 1.0 in the data" in message
    assert "level_rms is 0.05 in the model and 0.1 in the data" in message
    assert "hop_samples" not in message
    assert "\n" not in message


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(FeatureSpec) if field.type is not str])
def test_no_number_may_differ_unnoticed(field):
    spec = FeatureSpec()
    other = dataclasses.replace(spec, **{field: 2 * getattr(spec, field)})
    assert other.digest() != spec.digest()
    with pytest.raises(SpecMismatchError, match=field):
        require_same(spec, other, our_place="a", their_place="b")
