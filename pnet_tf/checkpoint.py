"""Saving and restoring a training: weights, optimizer and progress, each checkpoint whole or not there."""

import dataclasses
import json
import os
import pathlib
import shutil
import warnings
import zipfile

import keras
import numpy as np

from pnet_tf.errors import InputError
from pnet_tf.files import require_space
from pnet_tf.schedule import Plateau

_WEIGHTS, _OPTIMIZER, _PROGRESS = "model.weights.h5", "optimizer.npz", "progress.json"


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
      step: optimizer steps taken; with the seed it is also the position in the data.
      plateau: the schedule's state, with the best validation loss.
    """

    step: int
    plateau: Plateau


def save_weights(path: pathlib.Path, model: keras.Model) -> None:
    """Writes a model's weights, whole or not at all.

    Args:
      path: a name that ends in `.weights.h5`.
      model: the model.

    Raises:
      OSError: the file cannot be written.
    """
    partial = path.with_name(f".partial.{path.name}")
    # HDF5 crashes the process when the disk fills up under it.
    require_space(path.parent, _weight_bytes(model))
    try:
        model.save_weights(partial, overwrite=True)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_weights(path: pathlib.Path, model: keras.Model) -> None:
    """Reads weights into a model; every one of them must be there and fit.

    Raises:
      InputError: there is no such file, it is damaged, or it belongs to another network.
    """
    if not path.exists():
        raise InputError(f"{path}: no weights there; train until the first validation, or give another run folder")
    try:
        # Of a layer that the file does not hold Keras only warns, and leaves it as it was.
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise InputError(f"{path}: cannot read the weights ({error})") from error


def save_checkpoint(
    folder: pathlib.Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, progress: Progress
) -> None:
    """Writes a checkpoint, then removes older ones.

    Args:
      folder: where the checkpoints of a run are; made when it is missing.
      model: its weights are saved.
      optimizer: all its variables are saved.
      progress: how far the training is.

    Raises:
      OSError: the disk is full; the older checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    older = _checkpoints(folder)
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        variables = [np.asarray(variable) for variable in optimizer.variables]
        np.savez(partial / _OPTIMIZER, **{f"{index:05d}": value for index, value in enumerate(variables)})
        require_space(partial, _weight_bytes(model))
        model.save_weights(partial / _WEIGHTS)
        (partial / _PROGRESS).write_text(json.dumps(dataclasses.asdict(progress)), encoding="utf-8")
        target = folder / f"step-{progress.step:09d}"
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for path in older:
        if path != target:
            shutil.rmtree(path, ignore_errors=True)


def restore_newest(
    folder: pathlib.Path, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Progress | None:
    """Puts the newest checkpoint into model and optimizer.

    Args:
      folder: where the checkpoints of a run are.
      model: the same network that was saved.
      optimizer: the same, built.

    Returns:
      How far the training was, or None where there is no checkpoint.

    Raises:
      InputError: the checkpoint is damaged or belongs to another network.
    """
    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return None
    newest = checkpoints[-1]
    load_weights(newest / _WEIGHTS, model)
    try:
        fields = json.loads((newest / _PROGRESS).read_bytes())
        # Of a damaged file numpy would leave its own handle open.
        with (newest / _OPTIMIZER).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            values = [stored[name] for name in sorted(stored.files)]
        for variable, value in zip(optimizer.variables, values, strict=True):
            variable.assign(value)
        return Progress(step=fields["step"], plateau=Plateau(**fields["plateau"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{newest}: damaged checkpoint ({error}); delete it, or train into another folder") from error


def _weight_bytes(model: keras.Model) -> int:
    """Room that a model's weights take in a file, with what HDF5 adds to each."""
    return sum(4 * weight.value.shape.num_elements() + 4096 for weight in model.weights) + 2**20


def _checkpoints(folder: pathlib.Path) -> list[pathlib.Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob("step-*")) if folder.is_dir() else []
