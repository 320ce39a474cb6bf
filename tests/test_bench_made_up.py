"""What the bench makes up has the pitch and length that it says."""

import types

import numpy as np
import pytest

from pnet_tf import bench_made_up
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec


def test_the_made_up_sound_has_the_score_s_pitch_and_length():
    spec = FeatureSpec()
    score = bench_made_up.made_up_score(5)
    sound = bench_made_up.made_up_sound(score, spec)
    assert len(sound) == 5 * spec.sample_rate_hz and sound.dtype == np.float32
    first = sound[: spec.sample_rate_hz // 4] * np.hanning(spec.sample_rate_hz // 4)
    peak_hz = 4 * int(np.argmax(np.abs(np.fft.rfft(first))))
    assert peak_hz == pytest.approx(440 * 2 ** ((score.notes[0].pitch - 69) / 12), rel=0.02)


def test_shards_come_from_data_or_from_a_source_that_is_prepared(tiny_corpus, tmp_path):
    def flags(**values):
        return types.SimpleNamespace(**{"data": None, "source": None, "instrument": "violin"} | values)

    from_source = bench_made_up.shards_for(flags(source=str(tiny_corpus)), tmp_path)
    assert [entry.name for entry in from_source.manifest.recordings] == ["1", "2", "3"]
    again = bench_made_up.shards_for(flags(data=str(tmp_path / "shards")), tmp_path)
    assert again.manifest == from_source.manifest
    with pytest.raises(InputError):
        bench_made_up.shards_for(flags(source=str(tmp_path / "none")), tmp_path)
