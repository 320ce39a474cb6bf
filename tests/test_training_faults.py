"""What breaks around a training: one line, exit code 1, and nothing of what there was is lost."""

import pathlib
import shutil
import subprocess
import sys

import pytest
from faults import small_disk

from pnet_tf import checkpoint
from pnet_tf.spec import FeatureSpec

ROOT = pathlib.Path(__file__).resolve().parent.parent


def train(*flags):
    """Exit code, and the last line on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "pnet_tf.train", *flags], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.fixture
def flags(tiny_shards, tiny_flags, tmp_path):
    """A small training, with a checkpoint after each step."""
    return [*tiny_flags, f"--data={tiny_shards}", f"--run_dir={tmp_path / 'disk' / 'run'}", "--checkpoint_minutes=0"]


@pytest.mark.slow
def test_a_full_disk(flags, tmp_path):
    """Room for the first checkpoints alone; those stay and can be read."""
    with small_disk(tmp_path / "disk", megabytes=3):
        code, said = train(*flags, "--steps=60", "--keep=50", "--pictures=0")
        assert code == 1
        assert said.startswith("train: no space left on the disk: free some and start again")
        kept = checkpoint.checkpoints_in(tmp_path / "disk" / "run" / "checkpoints")
        assert kept and all(checkpoint.newest_whole(path.parent, seed=0) for path in kept)
        assert not list((tmp_path / "disk").rglob("*.partial"))


@pytest.mark.slow
def test_a_run_folder_that_may_only_be_read(flags, tmp_path):
    with small_disk(tmp_path / "disk", megabytes=32) as disk:
        assert train(*flags, "--steps=2")[0] == 0
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "disk").rglob("*")}
        disk.allow_reading_only()
        code, said = train(*flags, "--steps=4")
        assert code == 1
        assert said.startswith("train: not allowed to write or read here: choose another place")
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "disk").rglob("*")} == before


@pytest.mark.slow
def test_damaged_checkpoints_cut_shards_and_another_spec(flags, tiny_shards, tmp_path):
    run_dir, data = tmp_path / "disk" / "run", tmp_path / "data"
    assert train(*flags, "--steps=3")[0] == 0
    newest = checkpoint.checkpoints_in(run_dir / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    assert train(*flags, "--steps=4")[0] == 0
    assert checkpoint.newest_whole(run_dir / "checkpoints", seed=0)[1].step == 4

    shutil.copytree(tiny_shards, data)
    shard = next(data.glob("*.tfrecord"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    code, said = train(*flags, f"--data={data}", "--steps=6")
    assert code == 1 and f"{shard}: the shard has {len(whole) - 1} bytes, the manifest says {len(whole)}" in said

    shutil.copytree(tiny_shards, data, dirs_exist_ok=True)
    from pnet_tf.shard_set import COMPLETED_NAME, seal

    (data / "feature_spec.json").write_text(FeatureSpec(target_gain=1.0).to_json())
    (data / COMPLETED_NAME).write_text(seal(data))
    code, said = train(*flags, f"--data={data}", "--steps=6")
    assert code == 1 and "feature specs differ: target_gain is 1.0 in the data and 100.0 in" in said
    assert checkpoint.newest_whole(run_dir / "checkpoints", seed=0)[1].step == 4
