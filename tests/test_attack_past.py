"""What once crashed, hung, took gigabytes or ended in no short line is read or refused today."""

import pathlib
import warnings

import pytest

from pnet_tf import limits
from tests.attack.child import verdict
from tests.attack.readers import READERS, whole

PAST = pathlib.Path(__file__).resolve().parent / "attack" / "past"
FOLDERS = {name: PAST / name.replace(" ", "_") for name in READERS}
_TOOK_FOR_EVER = limits.Limits(reading_sec=0.5)


def test_every_failure_of_the_past_is_replayed():
    assert {path.name for path in PAST.iterdir()} <= {path.name for path in FOLDERS.values()}
    assert sum(path.stat().st_size for path in PAST.rglob("*") if path.is_file()) < 200_000


@pytest.mark.parametrize("name", [name for name, folder in FOLDERS.items() if folder.is_dir()])
def test_past_failures_are_read_or_refused(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # music21 warns of what it mends
        read = whole(READERS[name], tmp_path)
        inputs = sorted(FOLDERS[name].iterdir())
        with limits.raised_to(_TOOK_FOR_EVER):
            came_of = {path.name: verdict(read, path.read_bytes()) for path in inputs}
    assert inputs
    assert {path: said for path, (kind, said) in came_of.items() if kind not in ("read", "refused")} == {}
