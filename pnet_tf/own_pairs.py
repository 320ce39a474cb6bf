"""A folder of somebody's own recordings: `name.wav` (or flac, mp3, ogg) beside `name.mid`, `.musicxml` or `.csv`."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from absl import logging

from pnet_tf.audio_file import AUDIO_SUFFIXES
from pnet_tf.corpus import (
    INSTRUMENTS,
    NO_AUDIO,
    NO_LABELS,
    SECOND_COPY,
    Corpus,
    Labels,
    Recording,
    Split,
    counted,
    require_known,
    solo_labels,
    warn_left_out,
)
from pnet_tf.errors import InputError
from pnet_tf.musicnet_folder import files_by_stem
from pnet_tf.remote import AnyPath
from pnet_tf.score import Score, read_label_file, read_labels, read_score

# Label files come first: they say when each note really sounds.
SCORE_SUFFIXES = (".csv", ".mid", ".midi", ".musicxml", ".mxl", ".xml")
_TEST_SHARE_OF_PAIRS = 10
_FEWEST_PAIRS_FOR_A_TEST = 3


@dataclasses.dataclass(frozen=True)
class _Pair:
    audio: AnyPath
    score: AnyPath
    split: Split


class PairsCorpus(Corpus):
    """Pairs of one folder, and of `train` and `test` in it where they exist.

    Without a `test` folder the last tenth of the pairs by name, at least one of three, is the test split.
    """

    def __init__(self, root: AnyPath, instrument: str, *, label_rate_hz: int | None = None, part: str | None = None) -> None:
        """Pairs up the files, and reads the label files among the scores.

        Args:
          root: the folder.
          instrument: a name of `INSTRUMENTS`; a label file's other instruments make a recording unfit.
          label_rate_hz: rate of the label times; None is MusicNet's.
          part: the part that plays in the recordings, by name or number, for scores of several.

        Raises:
          InputError: a label file is wrong, or two pairs have one name.
        """
        self.kind = "pairs"
        self._instrument_id = INSTRUMENTS[instrument]
        self._label_rate_hz = label_rate_hz
        self._part = part
        skipped: collections.Counter[str] = collections.Counter()
        pairs = _all_pairs(root, skipped)
        unfit, reasons = _without_the_instrument_alone(pairs, self._instrument_id)
        kept = {name: pair for name, pair in pairs.items() if name not in unfit}
        self._pairs = kept if (root / "test").is_dir() else _with_test_split(kept)
        self.names = tuple(sorted(self._pairs))
        self.skipped = counted(skipped, reasons)

    def split_of(self, name: str) -> Split:
        """The split of a recording."""
        return self._pairs[name].split

    def recordings(self, names: Sequence[str], scratch: pathlib.Path) -> Iterator[Recording]:
        """The recordings asked for, with their own audio files, sorted by name; `scratch` stays empty."""
        for name in sorted(require_known(self, names)):
            pair = self._pairs[name]
            yield Recording(name, pair.audio, self._score(pair.score), pair.split, str(pair.score))

    def source_files(self, name: str) -> tuple[AnyPath, ...]:
        """The audio file and the score."""
        return self._pairs[name].audio, self._pairs[name].score

    def _score(self, path: AnyPath) -> Score | InputError:
        try:
            if path.suffix.lower() == ".csv":
                return read_labels(path, sample_rate_hz=self._label_rate_hz, instrument=self._instrument_id)
            return read_score(path, part=self._part)
        except InputError as error:
            return error


def _all_pairs(root: AnyPath, skipped: collections.Counter[str]) -> dict[str, _Pair]:
    pairs: dict[str, _Pair] = {}
    folders: dict[AnyPath, Split] = {root: "train", root / "train": "train", root / "test": "test"}
    for folder, split in folders.items():
        for name, pair in _pairs_of(folder, split, skipped).items():
            if name in pairs:
                raise InputError(f"{pairs[name].audio} and {pair.audio}: two pairs of one name; rename one of them")
            pairs[name] = pair
    return pairs


def _pairs_of(folder: AnyPath, split: Split, skipped: collections.Counter[str]) -> dict[str, _Pair]:
    audio, more_audio = files_by_stem(folder, AUDIO_SUFFIXES)
    scores, more_scores = files_by_stem(folder, SCORE_SUFFIXES)
    left_out = {
        NO_LABELS: [str(audio[name]) for name in audio.keys() - scores.keys()],
        NO_AUDIO: [str(scores[name]) for name in scores.keys() - audio.keys()],
        SECOND_COPY: [str(path) for path in (*more_audio, *more_scores)],
    }
    for reason, paths in left_out.items():
        warn_left_out(reason, paths)
        skipped[reason] += len(paths)
    return {name: _Pair(audio[name], scores[name], split) for name in sorted(audio.keys() & scores.keys())}


def _without_the_instrument_alone(
    pairs: Mapping[str, _Pair], instrument_id: int
) -> tuple[set[str], collections.Counter[str]]:
    """Names of the pairs whose label file does not show the instrument playing alone, and the reasons counted."""
    labels = [
        Labels(name, pair.split, read_label_file(pair.score), str(pair.score))
        for name, pair in pairs.items()
        if pair.score.suffix.lower() == ".csv"
    ]
    kept, reasons = solo_labels(labels, instrument_id)
    return {item.name for item in labels} - kept.keys(), reasons


def _with_test_split(pairs: Mapping[str, _Pair]) -> dict[str, _Pair]:
    names = sorted(pairs)
    if len(names) < _FEWEST_PAIRS_FOR_A_TEST:
        logging.info("%d pairs: all of them train; put some into a folder named test to measure on them", len(names))
        return dict(pairs)
    n_test = max(len(names) // _TEST_SHARE_OF_PAIRS, 1)
    test = names[-n_test:]
    logging.info("no folder named test: of %d pairs the last tenth by name tests: %s", len(names), ", ".join(test))
    return {name: dataclasses.replace(pair, split="test" if name in test else "train") for name, pair in pairs.items()}
