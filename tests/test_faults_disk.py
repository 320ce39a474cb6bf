"""Every stage on a disk that is full, at many fillings, and on one that may only be read: docs/reliability.md.

The disk is a real one of a few megabytes. What a stage leaves behind on it is nothing, or whole; once there is room the same
command ends as if nothing had been.
"""

import dataclasses
import shutil
import tarfile
import tempfile
import types

import pytest
from conftest import run_command
from faults import small_disk
from test_download import CONTENT, FILE, server  # noqa: F401  (fixture)

from pnet_tf import checkpoint, download, evaluate, export_command, perform_command, prepare, train

pytestmark = pytest.mark.attack
COLUMNS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"
SAYS = ("no space left on the disk: free some and start again", "is the disk full?", "cannot store the download (No space left")
MAY_NOT = ("not allowed to write", "choose another place", "choose another --out")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A command that writes to a disk: its flags, at how many fillings it is tried, and what may be there if it fails."""

    module: types.ModuleType
    flags: list[str]
    n_fillings: int
    keeps: tuple[str, ...] = ()


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=24) as disk:
        yield disk


@pytest.fixture
def stages(disk, tiny_corpus, tiny_shards, tiny_flags, tiny_run, tiny_voice, tmp_path):
    score, archive = tmp_path / "score.csv", tmp_path / "musicnet.tar.gz"
    score.write_text(COLUMNS + "".join(f"{k * 22050},{k * 22050 + 20000},41,{60 + k},0,1,Quarter\n" for k in range(6)))
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(tiny_corpus, "musicnet")
    prepares = ["--instrument=violin", f"--out={disk.root / 'set'}", "--window_frames=64", "--validation_share=0.2"]
    trains = [*tiny_flags, f"--data={tiny_shards}", f"--run_dir={disk.root / 'run'}", "--steps=3", "--checkpoint_minutes=0"]
    exports = [f"--run_dir={tiny_run}", f"--out={disk.root / 'voice'}"]
    sounds = [f"--model={tiny_voice}", "--iterations=2"]
    page = [f"--html={disk.root / 'page'}", "--seconds=3", "--resamples=9", "--controls=recording,mean_spectrum"]
    shards = (".tfrecord", ".entry.json", "feature_spec.json", "preparation.json")
    of_a_run = (".npz", "run.json", "resolved.flags", "feature_spec.json", "model_config.json", ".v2", "run", "checkpoints")
    plot = [f"--score={score}", f"--out={disk.root / 'a.wav'}", f"--plot={disk.root / 'a.png'}"]
    return {
        "prepare": Stage(prepare, [*prepares, f"--source={tiny_corpus}", "--workers=0"], 12, ("set", *shards)),
        "prepare in workers": Stage(prepare, [*prepares, f"--source={tiny_corpus}", "--workers=2"], 1, ("set", *shards)),
        "prepare an archive": Stage(prepare, [*prepares, f"--source={archive}", "--workers=0"], 6, ("set", *shards)),
        "train": Stage(train, [*trains, "--keep=9", "--pictures=1"], 3, of_a_run),
        "export a voice": Stage(export_command, [*exports, "--format=voice"], 10),
        "export a SavedModel": Stage(export_command, exports, 3),
        "perform": Stage(perform_command, [*sounds, *plot], 8, ("a.wav",)),
        "evaluate": Stage(evaluate, [*sounds, f"--source={tiny_corpus}", f"--out={disk.root / 'r.json'}", *page], 4, ("page",)),
    }


NAMES = [
    *("prepare", "prepare in workers", "prepare an archive", "train", "export a voice", "export a SavedModel"),
    *("perform", "evaluate"),
]


def run(stage, capsys):
    """Exit code and the last line on stderr, which is the only one that reports a failure."""
    code = run_command(stage.module, *stage.flags)
    said = capsys.readouterr().err
    assert "Traceback" not in said and "Exception ignored" not in said
    return code, said.splitlines()[-1]


def empty(disk):
    for path in disk.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_repeatable(name):
    """Whether a file has the same bytes whenever it is made; of a run, a SavedModel and a page not all have."""
    return name.endswith((".tfrecord", ".entry.json", "manifest.json", "COMPLETED", ".wav", "weights.npz", "feature_spec.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_leaves_what_is_whole_and_says_what_to_do(name, stages, disk, capsys, record_property):
    stage = stages[name]
    assert run(stage, capsys)[0] == 0
    whole = disk.content()
    n_bytes = sum(len(content) for content in whole.values() if content is not None)
    empty(disk)
    for k in range(stage.n_fillings):
        # Whole blocks: what is smaller than the last of them may fit although the sum of all does not.
        disk.leave_free(k * max(n_bytes - 60_000, 0) // stage.n_fillings)
        code, said = run(stage, capsys)
        assert code == 1 and any(words in said for words in SAYS), (k, code, said)
        left = disk.content()
        assert not [path for path in left if not path.endswith(stage.keeps)], left.keys()
        assert all(left[path] == whole[path] for path in left if is_repeatable(path))
        if name == "train" and (kept := checkpoint.checkpoints_in(disk.root / "run" / "checkpoints")):
            assert checkpoint.newest_whole(kept[0].parent, seed=0)[1].step == len(kept)
        if k == stage.n_fillings - 1:  # goes on from what is there
            disk.leave_free(2**30)
            assert run(stage, capsys)[0] == 0
            again = disk.content()
            assert {path for path in again if is_repeatable(path)} == {path for path in whole if is_repeatable(path)}
            assert all(again[path] == whole[path] for path in again if is_repeatable(path))
        empty(disk)
    record_property("faults", stage.n_fillings)


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_may_only_be_read_is_one_line(name, stages, disk, capsys, record_property):
    disk.allow_reading_only()
    code, said = run(stages[name], capsys)
    assert code == 1 and any(words in said for words in MAY_NOT), said
    assert disk.content() == {}
    record_property("faults", 1)


@pytest.mark.parametrize("n_free", [0, 4096, 600_000])
def test_a_full_disk_ends_a_download_that_goes_on_later(n_free, server, disk, monkeypatch, record_property):  # noqa: F811
    """The check for room beforehand is passed over, as by a disk that others fill."""
    monkeypatch.setattr(download, "_require_space", lambda *_: None)
    disk.leave_free(n_free)
    with pytest.raises(download.InputError, match="cannot store the download .No space left .*; free some and start again"):
        download.download((FILE,), disk.root / "out", base_url=server.url)
    left = disk.content()
    assert "out/data.bin" not in left and CONTENT.startswith(left.get("out/data.bin.part") or b"")
    disk.leave_free(2**21)
    download.download((FILE,), disk.root / "out", base_url=server.url)
    assert disk.content() == {"out": None, "out/data.bin": CONTENT}
    record_property("faults", 1)


def test_a_download_to_a_disk_that_may_only_be_read_is_one_line(server, disk, record_property):  # noqa: F811
    disk.allow_reading_only()
    for out in (disk.root, disk.root / "out"):
        with pytest.raises(download.InputError, match="(Read-only|not allowed).*; choose another --out"):
            download.download((FILE,), out, base_url=server.url)
    record_property("faults", 2)


def test_a_full_scratch_disk_is_one_line(stages, disk, tiny_voice, tmp_path, monkeypatch, capsys, record_property):
    """Audio out of an archive waits in the system's temporary folder while it is evaluated."""
    flags = [f"--model={tiny_voice}", f"--source={tmp_path / 'musicnet.tar.gz'}", f"--out={tmp_path / 'r.json'}"]
    monkeypatch.setattr(tempfile, "tempdir", str(disk.root))
    for n_free in (0, 100_000):
        disk.leave_free(n_free)
        code, said = run(Stage(evaluate, [*flags, "--seconds=2", "--resamples=0", "--controls="], 1), capsys)
        assert code == 1 and any(words in said for words in SAYS), said
        assert disk.content() == {} and not (tmp_path / "r.json").exists()
    record_property("faults", 2)
