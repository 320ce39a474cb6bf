"""What learns: the same first weights from the same seed, and everything back from a checkpoint."""

import dataclasses

import keras
import numpy as np
import pytest

from pnet_tf import checkpoint, learner, unet, voice_folder
from pnet_tf.checkpoint import Progress, Writer
from pnet_tf.cluster import open_cluster
from pnet_tf.errors import InputError
from pnet_tf.schedule import Plateau
from pnet_tf.settings import Settings
from pnet_tf.spec import FeatureSpec

SETTINGS = Settings(None, None, unet.ModelConfig(width=1 / 128, bands=(2,)), ema_decay=0.9, learning_rate=0.5)
CLUSTER = open_cluster("one")
FACTS = {"instrument": "oboe", "pitch_frames": [2] * 128, "window_frames": 64}


def build(**changes):
    return learner.build_learner(dataclasses.replace(SETTINGS, **changes), FeatureSpec(), CLUSTER)


def values(parts):
    return [np.array(keras.ops.convert_to_numpy(v)) for part in parts.parts().values() for v in part.variables]


def test_the_seed_decides_the_first_weights_and_the_average_begins_with_them():
    ours, same, other = build(), build(), build(seed=1)
    for mine, theirs in zip(values(ours), values(same), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(ours.model.get_weights()[0], other.model.get_weights()[0])
    for mine, theirs in zip(ours.model.get_weights(), ours.averaged.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_precision_is_that_of_the_network_and_of_nothing_else():
    before = keras.config.dtype_policy().name
    ours = build(precision="mixed_bfloat16")
    assert ours.model.get_layer("encoder0_conv1").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before
    assert build(ema_decay=0.0).averaged is None
    assert isinstance(build(precision="mixed_float16").optimizer, keras.optimizers.LossScaleOptimizer)


def test_everything_comes_back_from_a_checkpoint(tmp_path):
    ours, other = build(), build()
    for variable in [v for part in ours.parts().values() for v in part.variables]:
        variable.assign(keras.ops.ones_like(variable) * 3)
    progress = Progress(5, Plateau(0.25, 2.0), epoch=2)
    writer = Writer(tmp_path, keep=1)
    writer.save_checkpoint(ours.parts(), progress)
    writer.close()
    assert learner.restore_learner(other, SETTINGS, tmp_path, CLUSTER) == progress
    assert all((value == 3).all() for value in values(other))


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_it_begins_with_the_weights_it_is_told_to_and_so_does_the_average(precision, tmp_path):
    """Of a voice folder; optimizer, progress and rate are those of a beginning."""
    given = {name: array + 0.5 for name, array in checkpoint.weights_of(build(seed=3).model).items()}
    voice_folder.write_weights(tmp_path, given)
    voice_folder.write_facts(tmp_path, FeatureSpec(), SETTINGS.config, FACTS)
    ours, fresh = build(precision=precision), build(precision=precision)
    settings = dataclasses.replace(SETTINGS, init_from=str(tmp_path))
    assert learner.restore_learner(ours, settings, tmp_path / "none", CLUSTER) == Progress(0, Plateau(0.5), seed=0)
    for model in (ours.model, ours.averaged):
        for name, array in checkpoint.weights_of(model).items():
            np.testing.assert_array_equal(array, given[name].astype(np.float16).astype(np.float32))
    for mine, theirs in zip(ours.optimizer.variables, fresh.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(theirs))


def test_a_checkpoint_goes_before_the_weights_to_begin_with(tmp_path):
    ours = build()
    writer = Writer(tmp_path, keep=1)
    writer.save_checkpoint(ours.parts(), Progress(0, Plateau(0.25)))
    writer.close()
    settings = dataclasses.replace(SETTINGS, init_from="/nowhere/any/more")
    learner.restore_learner(build(), settings, tmp_path, CLUSTER)
    with pytest.raises(InputError, match="no such folder, and no voice of that name is shipped"):
        learner.restore_learner(build(), settings, tmp_path / "none", CLUSTER)


def test_without_a_checkpoint_it_begins_at_the_beginning(tmp_path):
    expected = Progress(0, Plateau(0.5), seed=0)
    assert learner.restore_learner(build(), SETTINGS, tmp_path / "none", CLUSTER) == expected


def test_a_checkpoint_without_an_average_does_not_serve_a_run_with_one(tmp_path):
    writer = Writer(tmp_path, keep=1)
    writer.save_checkpoint(build(ema_decay=0.0).parts(), Progress(5, Plateau(0.25)))
    writer.close()
    with pytest.raises(InputError, match="belongs to another network"):
        learner.restore_learner(build(), SETTINGS, tmp_path, CLUSTER)
    assert checkpoint.newest_whole(tmp_path, seed=0) is not None
