"""What the bench makes up has the pitch and length that it says."""

import numpy as np
import pytest

from pnet_tf import bench_made_up
from pnet_tf.spec import FeatureSpec


def test_the_made_up_sound_has_the_score_s_pitch_and_length():
    spec = FeatureSpec()
    score = bench_made_up.made_up_score(5)
    sound = bench_made_up.made_up_sound(score, spec)
    assert len(sound) == 5 * spec.sample_rate_hz and sound.dtype == np.float32
    first = sound[: spec.sample_rate_hz // 4] * np.hanning(spec.sample_rate_hz // 4)
    peak_hz = 4 * int(np.argmax(np.abs(np.fft.rfft(first))))
    assert peak_hz == pytest.approx(440 * 2 ** ((score.notes[0].pitch - 69) / 12), rel=0.02)
