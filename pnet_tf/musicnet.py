"""Opens a source of recordings: MusicNet as folder, tar or npz, or a folder of somebody's own pairs."""

from pnet_tf.corpus import INSTRUMENTS, Corpus, Recording, require_instrument, require_some
from pnet_tf.errors import InputError
from pnet_tf.files import is_regular
from pnet_tf.musicnet_folder import FolderCorpus, find_root
from pnet_tf.musicnet_npz import NpzCorpus, is_npz
from pnet_tf.musicnet_tar import TarCorpus, is_tar
from pnet_tf.own_pairs import PairsCorpus
from pnet_tf.remote import AnyPath, path_of

__all__ = ["INSTRUMENTS", "TEST_IDS", "Corpus", "Recording", "open_corpus"]

# The official test recordings; the npz does not say which they are.
TEST_IDS = frozenset("1759 1819 2106 2191 2298 2303 2382 2416 2556 2628".split())

# What a folder may hold in place of the unpacked data.
DOWNLOADS = ("musicnet.tar.gz", "musicnet.npz")
EXPECTED = (
    "musicnet.tar.gz, musicnet.npz, a folder with train_data/ID.wav beside train_labels/ID.csv (and test_data, "
    "test_labels), or a folder of pairs such as name.wav beside name.mid (see docs/data.md)"
)


def open_corpus(
    source: AnyPath, instrument: str, *, label_rate_hz: int | None = None, part: str | None = None
) -> Corpus:
    """The recordings of one instrument in a source.

    Args:
      source: a file or a folder, local or remote; what it is shows in its content.
      instrument: a name of `INSTRUMENTS`.
      label_rate_hz: rate of the sample counts in label files; None is MusicNet's.
      part: for pairs, the part of each score that plays, by name or number.

    Raises:
      UsageError: there is no such instrument.
      InputError: there is no such source, it is damaged, or holds no recording of the instrument.
    """
    source, instrument = path_of(source), require_instrument(instrument)
    if not source.exists():
        raise InputError(f"{source}: does not exist, expected {EXPECTED}")
    corpus = _open(source, instrument, label_rate_hz, part)
    require_some(corpus, source, instrument, EXPECTED)
    return corpus


def _open(source: AnyPath, instrument: str, label_rate_hz: int | None, part: str | None) -> Corpus:
    if source.is_dir():
        if (root := find_root(source)) is not None:
            return FolderCorpus(root, instrument, label_rate_hz=label_rate_hz)
        downloads = [source / name for name in DOWNLOADS if (source / name).is_file()]
        if not downloads:
            return PairsCorpus(source, instrument, label_rate_hz=label_rate_hz, part=part)
        source = downloads[0]
    if not is_regular(source):
        raise InputError(f"{source}: not a regular file, expected {EXPECTED}")
    if is_npz(source):
        return NpzCorpus(source, instrument, test_ids=TEST_IDS, label_rate_hz=label_rate_hz)
    if is_tar(source):
        return TarCorpus(source, instrument, label_rate_hz=label_rate_hz)
    raise InputError(f"{source}: neither a tar nor an npz archive (cut off, perhaps?), expected {EXPECTED}")
