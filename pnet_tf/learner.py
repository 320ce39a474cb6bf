"""What learns: the network, its optimizer and the average of its weights, as they begin and as they come back."""

import dataclasses
import pathlib

import keras
import numpy as np

from pnet_tf import checkpoint, unet
from pnet_tf.checkpoint import Progress
from pnet_tf.cluster import Cluster
from pnet_tf.errors import InputError
from pnet_tf.schedule import Plateau
from pnet_tf.settings import Settings
from pnet_tf.spec import FeatureSpec
from pnet_tf.train_step import make_optimizer
from pnet_tf.trained import open_trained


@dataclasses.dataclass(frozen=True)
class Learner:
    """The parts of a checkpoint.

    Attributes:
      model: the network that is trained.
      optimizer: built for it.
      averaged: the same network with averaged weights; None where no average is kept.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    averaged: keras.Model | None

    @property
    def for_use(self) -> keras.Model:
        """The network that is validated and kept: the averaged one where there is one."""
        return self.averaged or self.model

    def parts(self) -> dict[str, keras.Model | keras.optimizers.Optimizer]:
        """What a checkpoint holds, by name."""
        parts = {"model": self.model, "optimizer": self.optimizer, "averaged": self.averaged}
        return {name: part for name, part in parts.items() if part is not None}


def build_learner(settings: Settings, spec: FeatureSpec, cluster: Cluster) -> Learner:
    """Network and optimizer with their first values, which the seed decides."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(settings.precision)
    try:
        with cluster.strategy.scope():
            keras.utils.set_random_seed(settings.seed)
            model = unet.build_performance_net(spec, settings.config)
            optimizer = make_optimizer(settings.learning_rate, half_gradients=settings.precision == "mixed_float16")
            optimizer.build(model.trainable_variables)
            averaged = unet.build_performance_net(spec, settings.config) if settings.ema_decay else None
    finally:
        keras.config.set_dtype_policy(before)
    if averaged is not None:
        checkpoint.assign_weights(averaged, checkpoint.weights_of(model))
    return Learner(model, optimizer, averaged)


def restore_learner(learner: Learner, settings: Settings, folder: pathlib.Path, cluster: Cluster) -> Progress:
    """Puts the newest whole checkpoint, or else the weights to begin with, into each worker's learner; the chief reads files.

    Args:
      learner: as `build_learner` gives it.
      settings: of the run.
      folder: where its checkpoints are.
      cluster: who trains.

    Returns:
      How far the training is.

    Raises:
      InputError: no checkpoint can be read, `settings.init_from` cannot be, or they belong to another network.
    """
    progress = Progress(step=0, plateau=Plateau(settings.learning_rate), seed=settings.seed)
    with cluster.together():
        found = checkpoint.newest_whole(folder, seed=settings.seed) if cluster.is_chief else None
        if found:
            progress = found[1]
            _assign(learner, found[0], folder)
        elif cluster.is_chief and settings.init_from is not None:
            _begin_with(learner, settings.init_from)
    progress = Progress.from_json(cluster.text_from_chief(progress.to_json()))
    if (progress.step or settings.init_from is not None) and cluster.n_workers > 1:
        variables = [variable for part in learner.parts().values() for variable in part.variables]
        values = cluster.arrays_from_chief([np.array(keras.ops.convert_to_numpy(variable)) for variable in variables])
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    return progress


def _begin_with(learner: Learner, init_from: str) -> None:
    """Gives a learner trained weights, and its average the same."""
    open_trained(init_from).load_into(learner.model)
    if learner.averaged is not None:
        checkpoint.assign_weights(learner.averaged, checkpoint.weights_of(learner.model))


def _assign(learner: Learner, parts: dict[str, dict[str, np.ndarray]], folder: pathlib.Path) -> None:
    try:
        for name, part in learner.parts().items():
            assign = checkpoint.assign_weights if isinstance(part, keras.Model) else checkpoint.assign_optimizer_state
            assign(part, parts[name])
    except (KeyError, ValueError) as error:
        raise InputError(f"{folder}: the checkpoint there belongs to another network ({error})") from error
