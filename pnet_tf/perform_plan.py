"""Which scores are performed, and which files their sound and pictures become; settled before TensorFlow starts."""

import dataclasses
import pathlib
from collections.abc import Sequence

from absl import logging

from pnet_tf import example_scores, score
from pnet_tf.errors import InputError, UsageError


@dataclasses.dataclass(frozen=True)
class Task:
    """One score to perform, and where its sound and picture go."""

    score: pathlib.Path
    out: pathlib.Path
    plot: pathlib.Path | None


def plan_tasks(scores: Sequence[str], out: pathlib.Path, plot: pathlib.Path | None) -> list[Task]:
    """What to perform and where it goes.

    Args:
      scores: files, folders, and examples as `example_scores.find_score` knows them.
      out: a wav for one file, otherwise a folder.
      plot: a png for one file, otherwise a folder; or None.

    Raises:
      InputError: a folder without scores, no such file (where it is the only one) or example, or two scores of one name.
      UsageError: `out` does not fit the number of scores.
    """
    alone = len(scores) == 1
    paths = [example_scores.find_score(text) for text in scores]
    files = [file for path in paths for file in _files_of(path, alone=alone)]
    if alone and not paths[0].is_dir():
        if out.is_dir():
            raise UsageError(f"--out={out}: is a folder; name the wav to write")
        if out.suffix.lower() != ".wav":
            raise UsageError(f"--out={out}: expected a name that ends in .wav")
        if plot is not None and plot.suffix.lower() != ".png":
            raise UsageError(f"--plot={plot}: expected a name that ends in .png")
        return [Task(files[0], out, plot)]
    if out.suffix.lower() == ".wav" or out.is_file():
        raise UsageError(f"--out={out}: names a file; {len(files)} scores need a folder")
    stems = [file.stem for file in files]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated:
        raise InputError(f"two scores are called {repeated[0]} and would write one wav; rename one of them")
    return [Task(file, out / f"{file.stem}.wav", plot / f"{file.stem}.png" if plot else None) for file in files]


def _files_of(path: pathlib.Path, *, alone: bool) -> list[pathlib.Path]:
    if not path.exists():
        if not alone:
            return [path]  # reported when its turn comes, and the others are performed
        raise InputError(f"{path}: no such score")
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in score.SUFFIXES)
    if not found:
        raise InputError(f"{path}: no scores in this folder (looked for {', '.join(score.SUFFIXES)})")
    logging.info("%s: %d scores", path, len(found))
    return found
