"""MusicNet unpacked: `{train,test}_data/ID.wav` (or flac, mp3, ogg) beside `{train,test}_labels/ID.csv`."""

import collections
import pathlib
from collections.abc import Iterator, Sequence

from pnet_tf.audio_file import AUDIO_SUFFIXES
from pnet_tf.corpus import (
    NO_AUDIO,
    NO_LABELS,
    SECOND_COPY,
    LabelledCorpus,
    Labels,
    Recording,
    Split,
    require_known,
    warn_left_out,
)
from pnet_tf.remote import AnyPath, path_of
from pnet_tf.score import read_label_file

SPLITS: tuple[Split, ...] = ("train", "test")


def find_root(source: AnyPath) -> AnyPath | None:
    """The folder with `train_data` and so on: `source` itself, or `musicnet` in it; None if neither."""
    for folder in (source, source / "musicnet"):
        if any((folder / f"{split}_{what}").is_dir() for split in SPLITS for what in ("data", "labels")):
            return folder
    return None


class FolderCorpus(LabelledCorpus):
    """The solo recordings of an unpacked MusicNet; their audio is used where it lies."""

    def __init__(self, root: AnyPath, instrument: str, *, label_rate_hz: int | None = None) -> None:
        """Reads every label file.

        Args:
          root: what `find_root` gave.
          instrument: a name of `INSTRUMENTS`.
          label_rate_hz: rate of the label times; None is MusicNet's.

        Raises:
          InputError: a label file is wrong, or a recording is in both splits.
        """
        self._audio: dict[str, AnyPath] = {}
        skipped: collections.Counter[str] = collections.Counter()
        labels = [item for split in SPLITS for item in self._pair_up(root, split, skipped)]
        super().__init__("folder", labels, instrument, label_rate_hz=label_rate_hz, skipped=skipped)

    def recordings(self, names: Sequence[str], scratch: pathlib.Path) -> Iterator[Recording]:
        """The recordings asked for, with their own audio files, sorted by name; `scratch` stays empty."""
        for name in sorted(require_known(self, names)):
            yield self._recording(name, self._audio[name])

    def source_files(self, name: str) -> tuple[AnyPath, ...]:
        """The audio file and the label file."""
        return self._audio[name], path_of(self._labels[name].where)

    def _pair_up(self, root: AnyPath, split: Split, skipped: collections.Counter[str]) -> Iterator[Labels]:
        audio, more_audio = files_by_stem(root / f"{split}_data", AUDIO_SUFFIXES)
        label_files, more_labels = files_by_stem(root / f"{split}_labels", (".csv",))
        left_out = {
            NO_LABELS: [str(audio[name]) for name in audio.keys() - label_files.keys()],
            NO_AUDIO: [str(label_files[name]) for name in label_files.keys() - audio.keys()],
            SECOND_COPY: [str(path) for path in (*more_audio, *more_labels)],
        }
        for reason, paths in left_out.items():
            warn_left_out(reason, paths)
            skipped[reason] += len(paths)
        for name in sorted(audio.keys() & label_files.keys()):
            self._audio[name] = audio[name]
            yield Labels(name, split, read_label_file(label_files[name]), str(label_files[name]))


def _files(folder: AnyPath, suffixes: Sequence[str]) -> list[AnyPath]:
    """The files of a folder with one of the suffixes (in any case), in their order; hidden files are left out."""
    if not folder.is_dir():
        return []
    rank = {suffix: index for index, suffix in enumerate(suffixes)}
    found = [path for path in folder.iterdir() if path.suffix.lower() in rank and not path.name.startswith(".")]
    return sorted((path for path in found if path.is_file()), key=lambda path: (rank[path.suffix.lower()], path.name))


def files_by_stem(
    folder: AnyPath, suffixes: Sequence[str]
) -> tuple[dict[str, AnyPath], list[AnyPath]]:
    """Files with one of the suffixes (in any case) by name, and further ones of a name, such as ID.mp3 beside ID.wav.

    Args:
      folder: where to look, not below it; one that does not exist is empty. Hidden files are left out.
      suffixes: the first of them wins.
    """
    files: dict[str, AnyPath] = {}
    more = []
    for path in _files(folder, suffixes):
        if files.setdefault(path.stem, path) != path:
            more.append(path)
    return files, more
