"""What is to be evaluated, settled before TensorFlow starts: the plan, what its flags may say, and where results go."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from pnet_tf.corpus import Split
from pnet_tf.errors import InputError, UsageError
from pnet_tf.remote import AnyPath

CONTROLS = ("recording", "inverted", "late", "tones", "mean_spectrum", "soundfont")
_MAX_SEED = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to evaluate; fields as the flags of `evaluate`, an empty `instrument` for that of the models."""

    models: tuple[str, ...]
    source: AnyPath
    split: Split = "test"
    recordings: tuple[str, ...] = ()
    seconds: float | None = None
    instrument: str = ""
    part: str | None = None
    iterations: int = 32
    seeds: tuple[int, ...] = (0,)
    controls: tuple[str, ...] = CONTROLS
    soundfont: pathlib.Path | None = None
    resampling: str = "auto"
    segment_sec: float = 10.0
    resamples: int = 1000
    html: pathlib.Path | None = None
    excerpt_sec: float = 30.0


def parse_models(texts: Sequence[str]) -> tuple[str, ...]:
    """The models of one or several `--model`; a folder whose name has a comma is one model.

    Raises:
      UsageError: one has no name.
    """
    models = [model for text in texts for model in ([text] if pathlib.Path(text).is_dir() else text.split(","))]
    if not all(models):
        raise UsageError(f"--model={','.join(texts)}: a model without a name")
    return tuple(models)


def parse_seeds(texts: Sequence[str]) -> tuple[int, ...]:
    """The seeds of `--seed`.

    Raises:
      UsageError: one is no whole number in range, one is there twice, or there is none.
    """
    try:
        seeds = tuple(int(text) for text in texts)
    except ValueError as error:
        raise UsageError(f"--seed={','.join(texts)}: expected whole numbers, such as 0,1,2") from error
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed <= _MAX_SEED for seed in seeds):
        raise UsageError(f"--seed={','.join(texts)}: expected different whole numbers from 0 to {_MAX_SEED}")
    return seeds


def parse_controls(texts: Sequence[str]) -> tuple[str, ...]:
    """The controls of `--controls`, in the order of `CONTROLS`.

    Raises:
      UsageError: one is not known.
    """
    wanted = [text for text in texts if text]
    if unknown := [text for text in wanted if text not in CONTROLS]:
        raise UsageError(f"--controls: no control {unknown[0]!r}, expected some of {', '.join(CONTROLS)}")
    return tuple(name for name in CONTROLS if name in wanted)


def require_places(out: pathlib.Path, page: pathlib.Path | None) -> None:
    """Makes the folders that results go to, and refuses what cannot be written before hours are spent.

    Args:
      out: the JSON.
      page: the folder of the page; None for none.

    Raises:
      UsageError: `out` is a folder.
      InputError: something is in the way, or may not be written.
    """
    if out.is_dir():
        raise UsageError(f"--out={out}: is a folder; name the JSON to write")
    if page is not None:
        require_free(page)
    for place in (out, page) if page is not None else (out,):
        folder = place.absolute().parent
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise InputError(f"{place}: not allowed to write into {folder}; choose another place")


def require_free(folder: pathlib.Path) -> None:
    """Refuses a folder that holds something.

    Raises:
      InputError: it does, or is a file.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; remove it, or give another --html")
