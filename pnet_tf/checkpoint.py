"""What a training keeps on disk: weights, and checkpoints that are whole or not there, written while it goes on."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from absl import logging

from pnet_tf.errors import DAMAGED, InputError
from pnet_tf.files import open_regular, write_arrays
from pnet_tf.schedule import Plateau

_PREFIX, _SUFFIX = "step-", ".npz"
_PROGRESS = "progress"
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
      step: optimizer steps taken.
      plateau: the schedule's state, with the best validation loss.
      seed: of the run. With step and batch size it is also the position in the data: window `step * batch_size` of the
        one order that the seed gives is next.
      epoch: whole epochs taken.
      validated_step: the last step after which the validation loss was measured.
    """

    step: int
    plateau: Plateau
    seed: int = 0
    epoch: int = 0
    validated_step: int = 0

    def to_json(self) -> str:
        """As JSON, which `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Progress":
        """The progress that `to_json` wrote; raises TypeError, KeyError or ValueError where it is none."""
        fields = json.loads(text)
        return cls(**{**fields, "plateau": Plateau(**fields["plateau"])})


# --- values


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """A copy of a model's weights by path, `encoder0_conv1/kernel` for one: float [...] as each weight."""
    return {variable.path: _value(variable) for variable in model.variables}


def optimizer_state_of(optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """A copy of an optimizer's variables [...], numbered in the order in which they were built."""
    return {f"{index:05d}": _value(variable) for index, variable in enumerate(optimizer.variables)}


def assign_weights(model: keras.Model, arrays: Arrays) -> None:
    """Gives a model the weights that `weights_of` copied.

    Raises:
      ValueError: one is missing, superfluous, or of another shape.
    """
    _assign({variable.path: variable for variable in model.variables}, arrays)


def assign_optimizer_state(optimizer: keras.optimizers.Optimizer, arrays: Arrays) -> None:
    """Gives an optimizer the state that `optimizer_state_of` copied; raises as `assign_weights`."""
    _assign({f"{index:05d}": variable for index, variable in enumerate(optimizer.variables)}, arrays)


def _value(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


def _assign(variables: Mapping[str, keras.Variable], arrays: Arrays) -> None:
    if different := sorted(set(variables) ^ set(arrays)):
        raise ValueError(f"{len(different)} weights are there or here alone, {different[0]} for one")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise ValueError(f"{name} has shape {list(arrays[name].shape)}, expected {list(variable.shape)}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


# --- files


def save_weights(path: pathlib.Path, weights: Arrays) -> None:
    """Writes weights, whole or not at all, as a NumPy archive with a checksum on each array.

    Args:
      path: a name that ends in `.npz`.
      weights: from `weights_of`.

    Raises:
      OSError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write_arrays(partial, weights)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_weights(path: pathlib.Path, model: keras.Model) -> None:
    """Reads weights into a model; every one of them must be there and fit.

    Raises:
      InputError: there is no such file, it is damaged, or it belongs to another network.
    """
    try:
        assign_weights(model, read_weights(path))
    except ValueError as error:
        raise InputError(f"{path}: cannot read the weights ({error})") from error


def read_weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays [...] by name that `save_weights` wrote; raises InputError where there are none, or they are damaged."""
    if not path.exists():
        raise InputError(f"{path}: no weights there; train until the first validation, or give another run folder")
    try:
        return _read(path)
    except DAMAGED as error:
        raise InputError(f"{path}: cannot read the weights ({error})") from error


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    # Of a damaged file numpy would leave its own handle open.
    with open_regular(path) as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


# --- checkpoints


def checkpoints_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")) if folder.is_dir() else []


def pack(parts: Mapping[str, Arrays], progress: Progress) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint: those of each part below its name, and the progress as JSON, uint8 [bytes]."""
    arrays = {f"{part}/{name}": array for part, values in parts.items() for name, array in values.items()}
    return {**arrays, _PROGRESS: np.frombuffer(progress.to_json().encode(), np.uint8)}


def unpack(arrays: Arrays) -> tuple[dict[str, dict[str, np.ndarray]], Progress]:
    """The parts with their arrays [...] that `pack` put together; raises TypeError, KeyError or ValueError for others."""
    progress = Progress.from_json(arrays[_PROGRESS].tobytes())
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        if key != _PROGRESS:
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = array
    return parts, progress


def newest_whole(folder: pathlib.Path, *, seed: int) -> tuple[dict[str, dict[str, np.ndarray]], Progress] | None:
    """The newest checkpoint that can be read; a damaged one is named in a warning, and the one before it is taken.

    Args:
      folder: where the checkpoints of a run are.
      seed: of the run.

    Returns:
      What was given to `pack`, arrays [...] by part and name and the progress; None where there is no checkpoint.

    Raises:
      InputError: there are checkpoints, and none of them can be read.
    """
    paths = checkpoints_in(folder)
    for path in reversed(paths):
        try:
            parts, progress = unpack(_read(path))
            if progress.seed != seed:
                raise ValueError(f"of a run with seed {progress.seed}")
        except DAMAGED as error:
            logging.warning("%s: damaged checkpoint (%s)%s", path, error, "; trying the one before" if path != paths[0] else "")
            continue
        return parts, progress
    if paths:
        raise InputError(f"{folder}: each of the {len(paths)} checkpoints there is damaged; train into another folder")
    return None


class Writer:
    """Writes checkpoints and weights in a thread of its own, one after the other, while the training goes on.

    What a file is made of is copied before a call returns. An error of a writing is raised by the next call.
    """

    def __init__(self, folder: pathlib.Path, *, keep: int) -> None:
        """Starts the thread.

        Args:
          folder: where the checkpoints of a run are; made when the first is written.
          keep: how many checkpoints are left; older ones go when a new one is whole.
        """
        self._folder, self._keep = folder, keep
        for left_by_a_killed_run in folder.glob(".*.partial"):
            left_by_a_killed_run.unlink()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._under_way: list[concurrent.futures.Future] = []
        self.waited_sec = 0.0
        self._last_begun = time.monotonic()

    @property
    def age_sec(self) -> float:
        """Seconds since the last checkpoint was begun, or since there was nothing to write."""
        return time.monotonic() - self._last_begun

    def save_checkpoint(self, parts: Mapping[str, Iterable[Any]], progress: Progress) -> None:
        """Begins to write a checkpoint.

        Args:
          parts: by name, a model or an optimizer.
          progress: how far the training is.

        Raises:
          OSError: an earlier writing failed.
        """
        started = time.perf_counter()
        self._make_room()
        copies = {
            name: weights_of(part) if isinstance(part, keras.Model) else optimizer_state_of(part)
            for name, part in parts.items()
        }
        self._begin(self._write_checkpoint, pack(copies, progress), progress.step)
        self._last_begun = time.monotonic()
        self.waited_sec += time.perf_counter() - started

    def save_weights(self, path: pathlib.Path, model: keras.Model) -> None:
        """Begins to write a model's weights; raises as `save_checkpoint`."""
        started = time.perf_counter()
        self._make_room()
        self._begin(save_weights, path, weights_of(model))
        self.waited_sec += time.perf_counter() - started

    def kept(self) -> str:
        """Says which checkpoint there is to go back to."""
        whole = checkpoints_in(self._folder)
        return f"{whole[-1].stem} is kept" if whole else "no checkpoint had been written"

    def raise_failure(self) -> None:
        """Raises what an earlier writing failed with, without waiting for one that is under way."""
        while self._under_way and self._under_way[0].done():
            self._under_way.pop(0).result()

    def close(self) -> None:
        """As `finish`, and ends the thread."""
        try:
            self.finish()
        finally:
            self._thread.shutdown(wait=True)

    def _begin(self, work: Any, *arguments: Any) -> None:
        self._under_way.append(self._thread.submit(work, *arguments))

    def _make_room(self) -> None:
        """Waits until one writing at most is under way: best weights and a checkpoint follow each other, no more."""
        self.raise_failure()
        while len(self._under_way) > 1:
            self._under_way.pop(0).result()

    def finish(self) -> None:
        """Waits until everything is written; raises as `save_checkpoint`."""
        while self._under_way:
            self._under_way.pop(0).result()

    def _write_checkpoint(self, arrays: Arrays, step: int) -> None:
        weights = {name: array for name, array in arrays.items() if not name.startswith(("optimizer/", _PROGRESS))}
        if spoilt := [name for name, array in weights.items() if not np.isfinite(array).all()]:
            raise InputError(
                f"{self._folder.parent}: {spoilt[0]} holds numbers that are none at step {step}; {self.kept()}: train again "
                "into another folder with a lower --learning_rate, or with --clip_norm"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{_PREFIX}{step:09d}{_SUFFIX}"
        save_weights(path, arrays)
        older = [other for other in checkpoints_in(self._folder) if other != path]
        for other in older[: max(0, len(older) + 1 - self._keep)]:
            other.unlink(missing_ok=True)
