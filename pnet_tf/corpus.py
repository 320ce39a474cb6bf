"""What every source of recordings offers: `Recording`, `Corpus`, the instruments, and the choice of solo recordings."""

import abc
import collections
import dataclasses
import pathlib
import re
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from absl import logging

from pnet_tf.errors import InputError, UsageError
from pnet_tf.instruments import MUSICNET_IDS
from pnet_tf.remote import AnyPath
from pnet_tf.score_labels import label_instruments, score_from_labels
from pnet_tf.score_notes import Score

Split = Literal["train", "test"]

INSTRUMENTS = MUSICNET_IDS

NOT_PLAYING = "without the instrument"
NOT_SOLO = "other instruments play too"
NO_LABELS = "audio without a score"
NO_AUDIO = "score without audio"
SECOND_COPY = "second file of the same name"

_SAFE_NAME = re.compile(r"[\w][\w .,()+#'&=-]*")
_N_NAMED_IN_WARNINGS = 5


@dataclasses.dataclass(frozen=True)
class Recording:
    """One solo recording with its score.

    Attributes:
      name: unique in its corpus, safe as the name of a file.
      audio: the audio file, where the source is remote a remote one; give it back with `Corpus.release`.
      score: the notes of the corpus's instrument, or what is wrong with the score file: one bad file must not end the
        walk through the others.
      split: `train` or `test`.
      label_source: where the notes came from, for manifests and messages.
    """

    name: str
    audio: AnyPath
    score: Score | InputError
    split: Split
    label_source: str


@dataclasses.dataclass(frozen=True)
class Labels:
    """The label csv of one recording.

    Attributes:
      name: of the recording.
      split: `train` or `test`.
      data: the csv.
      where: the file it came from, for messages.
    """

    name: str
    split: Split
    data: str | bytes
    where: str


class Corpus(abc.ABC):
    """The recordings of one instrument in one source.

    Attributes:
      kind: `folder`, `tar`, `npz` or `pairs`.
      names: the recordings, sorted.
      skipped: how many recordings of the source were left out, by reason.
    """

    kind: str
    names: tuple[str, ...]
    skipped: Mapping[str, int]

    @abc.abstractmethod
    def split_of(self, name: str) -> Split:
        """The split of a recording.

        Raises:
          KeyError: there is no such recording.
        """

    @abc.abstractmethod
    def recordings(self, names: Sequence[str], scratch: pathlib.Path) -> Iterator[Recording]:
        """The recordings asked for, one at a time, in the order in which the source holds them.

        Args:
          names: some of `self.names`.
          scratch: an existing local folder for audio that the source does not hold as a file; one such file is there for
            each recording handed out and not yet released.

        Raises:
          InputError: the source is damaged, or the disk is full.
        """

    @abc.abstractmethod
    def source_files(self, name: str) -> tuple[AnyPath, ...]:
        """The files that a recording is made from; when one of them changes the recording has.

        Raises:
          KeyError: there is no such recording.
        """

    def release(self, recording: Recording) -> None:  # noqa: B027  (most sources have nothing to remove)
        """Removes what `recordings` wrote for this one; a source's own files stay."""


class LabelledCorpus(Corpus):
    """A corpus with MusicNet's labels: those recordings in which the instrument plays alone."""

    def __init__(
        self,
        kind: str,
        labels: Iterable[Labels],
        instrument: str,
        *,
        label_rate_hz: int | None,
        skipped: Mapping[str, int],
    ) -> None:
        """Chooses the solo recordings.

        Args:
          kind: see `Corpus`.
          labels: of every recording of the source that has audio.
          instrument: a name of `INSTRUMENTS`.
          label_rate_hz: rate of the label times; None is MusicNet's.
          skipped: what the source had to leave out before.
        """
        self.kind = kind
        self._instrument_id = INSTRUMENTS[instrument]
        self._label_rate_hz = label_rate_hz
        self._labels, not_solo = solo_labels(labels, self._instrument_id)
        self.names = tuple(sorted(self._labels))
        self.skipped = counted(skipped, not_solo)

    def split_of(self, name: str) -> Split:
        """The split of a recording."""
        return self._labels[name].split

    def _recording(self, name: str, audio: AnyPath) -> Recording:
        labels = self._labels[name]
        score = score_from_labels(
            labels.data,
            name=name,
            where=labels.where,
            sample_rate_hz=self._label_rate_hz,
            instrument=self._instrument_id,
        )
        return Recording(name, audio, score, labels.split, labels.where)


def solo_labels(labels: Iterable[Labels], instrument_id: int) -> tuple[dict[str, Labels], collections.Counter[str]]:
    """The labels of recordings in which one instrument plays alone, by name, and how many others there are and why.

    Raises:
      InputError: a label file is wrong, or one recording is in both splits.
    """
    kept: dict[str, Labels] = {}
    seen: dict[str, Labels] = {}
    skipped: collections.Counter[str] = collections.Counter()
    for item in labels:
        if (other := seen.setdefault(item.name, item)).split != item.split:
            raise InputError(f"{item.where} and {other.where}: one recording in both splits; remove one of the two")
        playing = set(label_instruments(item.data, where=item.where))
        if instrument_id not in playing:
            skipped[NOT_PLAYING] += 1
        elif len(playing) > 1:
            skipped[NOT_SOLO] += 1
        else:
            kept[item.name] = item
    return kept, skipped


def counted(*counts: Mapping[str, int]) -> Mapping[str, int]:
    """The sum of several counts by reason, sorted by reason, zeros left out."""
    total: collections.Counter[str] = collections.Counter()
    for count in counts:
        total.update(count)
    return types.MappingProxyType({reason: total[reason] for reason in sorted(total) if total[reason]})


def require_instrument(instrument: str) -> str:
    """The instrument's name as `INSTRUMENTS` has it, whatever its case.

    Raises:
      UsageError: it is none of them.
    """
    name = " ".join(instrument.replace("_", " ").lower().split())
    if name not in INSTRUMENTS:
        raise UsageError(f"unknown instrument {instrument!r}, expected one of {', '.join(sorted(INSTRUMENTS))}")
    return name


def require_known(corpus: Corpus, names: Iterable[str]) -> set[str]:
    """The names as a set.

    Raises:
      KeyError: one is no recording of the corpus.
    """
    if unknown := set(names) - set(corpus.names):
        raise KeyError(f"no recordings of this corpus: {sorted(unknown)}")
    return set(names)


def is_safe_name(name: str) -> bool:
    """Whether a name of a source can name a file of ours: no separators, no leading dot, not too long."""
    return _SAFE_NAME.fullmatch(name) is not None and len(name.encode()) <= 128


def require_some(corpus: Corpus, source: AnyPath, instrument: str, expected: str) -> None:
    """Refuses a source without a single recording of the instrument.

    Raises:
      InputError: says what was looked for, and what was found instead.
    """
    if corpus.names:
        return
    found = ", ".join(f"{n} {reason}" for reason, n in corpus.skipped.items()) or "nothing that looks like one"
    raise InputError(f"{source}: no solo recording of {instrument} (found: {found}); expected {expected}")


def warn_left_out(reason: str, names: Collection[str]) -> None:
    """Logs a warning that names what was left out, the first few of many."""
    if names:
        listed = sorted(names)
        more = f" and {len(listed) - _N_NAMED_IN_WARNINGS} more" if len(listed) > _N_NAMED_IN_WARNINGS else ""
        logging.warning("left out, %s: %s%s", reason, ", ".join(listed[:_N_NAMED_IN_WARNINGS]), more)
