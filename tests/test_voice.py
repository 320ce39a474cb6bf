"""What an opened voice knows."""

from pnet_tf.spec import FeatureSpec
from pnet_tf.voice import RUNTIME_CHOICES, RUNTIMES, Voice


def test_heard_are_the_pitches_with_frames():
    assert Voice(None, FeatureSpec(), "violin", (0, 5, 0, 1), 64).heard == {1, 3}


def test_a_voice_that_says_nothing_of_its_runtime_is_tensorflows():
    assert Voice(None, FeatureSpec(), "violin", (), 64).runtime == "tensorflow"
    assert set(RUNTIME_CHOICES) == {"auto", *RUNTIMES}
