"""What every test stands on: a quiet TensorFlow, no display, fixed seeds, and the smallest voice there is."""

import os
import pathlib
import random
import types

import numpy as np
import pytest
import soundfile

from pnet_tf import command

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _fixed_seeds():
    """Library code takes its seeds as arguments; this covers what a test draws by itself."""
    random.seed(0)
    np.random.seed(0)


# --- the smallest road from recordings to a voice: made once a session, by the first test that asks

_RATE_HZ = 44100
_WINDOW_FRAMES = 64
_LABEL_COLUMNS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"


def _write_recording(root: pathlib.Path, split: str, name: str, pitches: list[int]) -> None:
    """The pitches three times over in uneven rhythm, each a few fading harmonics, with labels as MusicNet writes them.

    No note is as long as a window: the norms turn what a window without any onset says into noise (its channels are
    constant), and then no two computations agree.
    """
    start, lines, notes = 0, [_LABEL_COLUMNS], []
    for index, pitch in enumerate(pitches * 3):
        length = int(_RATE_HZ * (0.12, 0.25, 0.15, 0.2, 0.13)[index % 5])
        seconds = np.arange(length) / _RATE_HZ
        hz = 440 * 2 ** ((pitch - 69) / 12)
        partials = sum(np.sin(2 * np.pi * k * hz * seconds) / k**2 for k in range(1, 6))
        notes.append(0.2 * partials * np.exp(-6 * seconds) * np.minimum(1, seconds / 0.01))
        lines.append(f"{start},{start + length},41,{pitch},0.0,1.0,Quarter\n")
        start += length
    for what in ("data", "labels"):
        (root / f"{split}_{what}").mkdir(parents=True, exist_ok=True)
    soundfile.write(root / f"{split}_data" / f"{name}.wav", np.concatenate(notes), _RATE_HZ)
    (root / f"{split}_labels" / f"{name}.csv").write_text("".join(lines))


def run_command(module: types.ModuleType, *arguments: str) -> int:
    """One command through its own `main`, in this process; its exit code."""
    return command.run(module.define_flags, module.main, list(arguments))


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory):
    """Two violin recordings for training and one for testing, six seconds each, in MusicNet's layout."""
    root = tmp_path_factory.mktemp("tiny") / "corpus"
    _write_recording(root, "train", "1", [57, 60, 64, 67, 69, 72, 71, 67, 65, 62, 60, 59])
    _write_recording(root, "train", "2", [62, 66, 69, 74, 73, 69, 66, 64, 62, 61, 62, 57])
    _write_recording(root, "test", "3", [60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 65])
    return root


@pytest.fixture(scope="session")
def tiny_shards(tiny_corpus, tmp_path_factory):
    """The shard set of `tiny_corpus`, for windows of 64 frames; read it only."""
    from pnet_tf import prepare

    out = tmp_path_factory.mktemp("tiny") / "shards"
    flags = [f"--window_frames={_WINDOW_FRAMES}", "--validation_share=0.2", "--workers=0"]
    assert run_command(prepare, "--instrument=violin", f"--source={tiny_corpus}", f"--out={out}", *flags) == 0
    return out


@pytest.fixture(scope="session")
def tiny_set(tiny_shards):
    """`tiny_shards`, opened."""
    from pnet_tf import shard_set

    return shard_set.open_shard_set(tiny_shards)


@pytest.fixture(scope="session")
def tiny_plan(tiny_set):
    """The windows of `tiny_set` to train on."""
    from pnet_tf import dataset

    return dataset.plan_windows(tiny_set, "train", window_frames=_WINDOW_FRAMES)


@pytest.fixture(scope="session")
def tiny_flags():
    """Flags of `train` for the smallest network and a few steps; what comes later on a command line wins."""
    sizes = ["--width=0.015625", "--bands=2,4", "--batch_size=2", f"--window_frames={_WINDOW_FRAMES}", "--strategy=one"]
    return [*sizes, "--steps=8", "--test_every=1", "--log_every=2"]


@pytest.fixture(scope="session")
def tiny_run(tiny_shards, tiny_flags, tmp_path_factory):
    """A finished run on `tiny_shards`; read it only."""
    from pnet_tf import train

    run_dir = tmp_path_factory.mktemp("tiny") / "run"
    assert run_command(train, *tiny_flags, f"--data={tiny_shards}", f"--run_dir={run_dir}") == 0
    return run_dir


@pytest.fixture(scope="session")
def tiny_voice(tiny_run, tmp_path_factory):
    """The voice folder of `tiny_run`; read it only."""
    from pnet_tf import export_command

    out = tmp_path_factory.mktemp("tiny") / "voice"
    assert run_command(export_command, "--format=voice", f"--run_dir={tiny_run}", f"--out={out}") == 0
    return out


@pytest.fixture(scope="session")
def tiny_model(tiny_run, tmp_path_factory):
    """The SavedModel of `tiny_run`; read it only."""
    from pnet_tf import export_command

    out = tmp_path_factory.mktemp("tiny") / "model"
    assert run_command(export_command, f"--run_dir={tiny_run}", f"--out={out}") == 0
    return out


@pytest.fixture(scope="session")
def tiny_served(tiny_run, tmp_path_factory):
    """The folder that TensorFlow Serving would be given of `tiny_run`, with its version 1; read it only."""
    from pnet_tf import export_command

    out = tmp_path_factory.mktemp("tiny") / "served"
    assert run_command(export_command, "--format=serving", f"--run_dir={tiny_run}", f"--out={out}") == 0
    return out
