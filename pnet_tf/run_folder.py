"""The folder of a training run: what it was made from, written before the first step and read back, never retyped."""

import contextlib
import dataclasses
import importlib.metadata
import json
import pathlib
import platform
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pnet_tf
from pnet_tf import model_config
from pnet_tf import spec as spec_room
from pnet_tf.errors import InputError
from pnet_tf.files import held, read_small, write_whole
from pnet_tf.model_config import ModelConfig
from pnet_tf.spec import FeatureSpec, require_same

RUN_NAME = "run.json"
FLAGS_NAME = "resolved.flags"
BEST_WEIGHTS_NAME = "best.weights.npz"
_PACKAGES = ("tensorflow", "keras", "numpy")
# What runs were trained with whose record is older than the flag.
_BEFORE_THERE_WERE: dict[str, Any] = {
    **dict.fromkeys(("variance_weight", "loud_weight", "level_weight", "cosine_weight"), 0.0),
    **{"pitch_shift": 0, "init_from": None, "schedule": "plateau"},
}
_FIRST_FILES = {spec_room.FILE_NAME, model_config.FILE_NAME, FLAGS_NAME}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder and what it was made from.

    Attributes:
      folder: the run folder.
      spec: of the data it is trained on.
      config: of the network.
      training: the settings that decide what is learnt, by flag name.
      voice: `instrument`; `noise_floor` and `ceiling` as `level_range` measures them; `pitch_frames`, the frames in which each
        MIDI pitch sounds in the training recordings; and `window_frames`.
    """

    folder: pathlib.Path
    spec: FeatureSpec
    config: ModelConfig
    training: Mapping[str, Any]
    voice: Mapping[str, Any]

    @property
    def best_weights(self) -> pathlib.Path:
        """Weights of the lowest validation loss so far."""
        return self.folder / BEST_WEIGHTS_NAME


def start_run(run: Run, *, flag_text: str) -> None:
    """Writes what a run is made from, or checks that the folder was begun with the same.

    Args:
      run: the run; its folder is made when it is missing.
      flag_text: the resolved flags, as a flag file.

    Raises:
      InputError: the folder holds another run, or something else.
      SpecMismatchError: it was begun with data of another spec.
    """
    if (run.folder / RUN_NAME).exists():
        _require_same_run(open_run(run.folder), run)
        return
    _remove_partial_files(run.folder)
    if run.folder.exists() and (not run.folder.is_dir() or _holds_something_else(run.folder)):
        raise InputError(f"{run.folder}: not empty, and not a run folder; give another --run_dir or --experiment")
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{run.folder}: cannot make this folder ({error.strerror}); give another --run_dir") from error
    write_whole(run.folder / spec_room.FILE_NAME, run.spec.to_json())
    write_whole(run.folder / model_config.FILE_NAME, run.config.to_json())
    write_whole(run.folder / FLAGS_NAME, flag_text)
    record = {"training": dict(run.training), "voice": dict(run.voice), "made_with": made_with()}
    write_whole(run.folder / RUN_NAME, json.dumps(record, indent=1, sort_keys=True) + "\n")


@contextlib.contextmanager
def only_training_in(folder: pathlib.Path) -> Iterator[None]:
    """Keeps a begun run to one training at a time, and removes what a killed one was writing.

    Raises:
      InputError: another training runs in this folder.
    """
    taken = f"{folder}: another training is running there; wait for it, or give another --run_dir"
    with held(folder / RUN_NAME, taken=taken):
        _remove_partial_files(folder)
        yield


def _holds_something_else(folder: pathlib.Path) -> bool:
    """Whether there is more in a folder than a run leaves that was killed before it had begun."""
    return any(path.name not in _FIRST_FILES for path in folder.iterdir())


def _remove_partial_files(folder: pathlib.Path) -> None:
    """Removes what a killed run was writing."""
    for name in (*_FIRST_FILES, RUN_NAME, BEST_WEIGHTS_NAME):
        if folder.is_dir():
            (folder / f".{name}.partial").unlink(missing_ok=True)


def open_run(folder: pathlib.Path) -> Run:
    """Reads a run folder back.

    Raises:
      InputError: it is none, or one of its files cannot be read.
    """
    folder = pathlib.Path(folder)
    path = folder / RUN_NAME
    if not path.exists():
        raise InputError(f"{folder}: not a run folder (no {RUN_NAME}); give the --run_dir of a training")
    try:
        record = json.loads(read_small(path))
        config = ModelConfig.from_json(read_small(folder / model_config.FILE_NAME), where=str(folder / model_config.FILE_NAME))
        spec = FeatureSpec.read(folder)
        config.require_pitches(spec.n_pitches, where=str(folder / model_config.FILE_NAME))
        return Run(folder, spec, config, dict(record["training"]), dict(record["voice"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{folder}: damaged run folder ({error!r}); train again into another folder") from error


def _require_same_run(theirs: Run, ours: Run) -> None:
    require_same(ours.spec, theirs.spec, our_place="the data", their_place=str(theirs.folder))
    if theirs.voice.get("instrument") != ours.voice["instrument"]:
        raise InputError(
            f"{theirs.folder}: was begun with data of {theirs.voice.get('instrument')}, and --data holds "
            f"{ours.voice['instrument']}; give another --run_dir or --experiment"
        )
    if theirs.voice.get("pitch_frames") != ours.voice["pitch_frames"]:
        raise InputError(
            f"{theirs.folder}: was begun with other recordings than --data holds; give those, or another --run_dir or "
            "--experiment"
        )
    mine = {**dataclasses.asdict(ours.config), **ours.training}
    stored = {**_BEFORE_THERE_WERE, **dataclasses.asdict(theirs.config), **theirs.training}
    different = [
        f"{name} is {stored.get(name)!r} there and {value!r} now" for name, value in mine.items() if stored.get(name) != value
    ]
    if different:
        raise InputError(
            f"{theirs.folder}: was begun with other settings ({'; '.join(different)}); give another --run_dir or --experiment"
        )


def made_with() -> dict[str, str]:
    """Versions, and the commit where the package runs out of a git checkout."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    here = pathlib.Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return {"pnet_tf": pnet_tf.__version__, "python": platform.python_version(), "commit": commit or "unknown", **versions}
