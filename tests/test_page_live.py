"""What the page hears of a performance is its sound and its spectrogram, however they are cut into blocks."""

import json
import struct

import numpy as np
import pytest

from pnet_tf import page_live
from pnet_tf.mastering import StreamLevel
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def parsed(messages):
    """Kind and payload of each message of a stream."""
    data, found = b"".join(messages), []
    while data:
        kind, length = struct.unpack_from("<cI", data)
        found.append((kind.decode(), data[5 : 5 + length]))
        data = data[5 + length :]
    return found


def told(waveform, log_power, cuts):
    """Samples and columns, of a performance cut into so many blocks."""
    live = page_live.LiveSound(SPEC, StreamLevel(SPEC.sample_rate_hz, 6.0), lowest_pitch=55)
    blocks = zip(np.array_split(waveform, cuts), np.array_split(log_power, cuts))
    messages = parsed([m for block in blocks for m in live.add(*block)] + live.finish())
    sound = np.frombuffer(b"".join(data for kind, data in messages if kind == "s"), "<i2")
    columns = np.frombuffer(b"".join(data for kind, data in messages if kind == "c"), np.uint8)
    return sound, columns.reshape(-1, page_live.N_ROWS)


@pytest.fixture
def performance():
    rng = np.random.default_rng(0)
    return 0.2 * rng.standard_normal(20_000).astype(np.float32).clip(-1, 1), rng.uniform(0, 3, (83, 1025)).astype(np.float32)


def test_sound_has_its_gain_and_its_length(performance):
    sound, columns = told(*performance, 1)
    assert len(sound) == 20_000 and len(columns) == 11
    np.testing.assert_allclose(sound / 32767, performance[0] * 10 ** (6 / 20), atol=2e-4)


def test_how_it_is_cut_changes_nothing(performance):
    for one, other in zip(told(*performance, 1), told(*performance, 7)):
        np.testing.assert_array_equal(one, other)


def test_a_partial_is_brightest_in_its_row(performance):
    """440 Hz, as loud as it gets, and silence elsewhere."""
    log_power = np.zeros((80, SPEC.n_bins), np.float32)
    log_power[:, round(440 * SPEC.n_fft / SPEC.sample_rate_hz)] = 17.5
    _, columns = told(np.zeros(0, np.float32), log_power, 2)
    scales = page_live.LiveSound(SPEC, StreamLevel(SPEC.sample_rate_hz, 0), lowest_pitch=55).scales()
    low, high = scales["edges"]
    rows = np.flatnonzero(columns[3] > 200)
    hz = 2 ** (low + (rows + 0.5) / page_live.N_ROWS * (high - low))
    assert len(rows) and abs(hz - 440).max() < 30
    assert columns[3, :5].max() == 0
    assert scales["columns_per_sec"] == pytest.approx(44100 / 256 / 8)


def test_a_message_of_words_is_json():
    [(kind, data)] = parsed([page_live.say(type="waiting", place=2)])
    assert (kind, json.loads(data)) == ("j", {"type": "waiting", "place": 2})
