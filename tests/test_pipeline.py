"""The whole road once, through the commands' own `main`: recordings, shards, a training, a voice, a performance."""

import pathlib

import numpy as np
import soundfile
from conftest import run_command

from pnet_tf import export_command, perform_command, prepare, train
from pnet_tf.score import read_score

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"


def test_from_recordings_to_a_performance(tiny_corpus, tiny_flags, tmp_path, capfd):
    data, run_dir, model = tmp_path / "data", tmp_path / "run", tmp_path / "model"
    wav, png = tmp_path / "performance.wav", tmp_path / "performance.png"
    sizes = ["--window_frames=64", "--validation_share=0.2", "--workers=0"]
    assert run_command(prepare, "--instrument=violin", f"--source={tiny_corpus}", f"--out={data}", *sizes) == 0
    assert run_command(train, *tiny_flags, f"--data={data}", f"--run_dir={run_dir}", "--steps=4") == 0
    assert run_command(export_command, f"--run_dir={run_dir}", f"--out={model}") == 0
    example = EXAMPLES / "greensleeves_violin.musicxml"
    asked = [f"--score={example}", "--iterations=2", "--tempo=4", "--transpose=auto"]
    assert run_command(perform_command, f"--model={model}", *asked, f"--out={wav}", f"--plot={png}") == 0
    samples, rate = soundfile.read(wav)
    last_sec = float(max(note.end_sec for note in read_score(example).notes)) / 4
    assert rate == 44100
    assert abs(len(samples) / rate - (last_sec + 1)) < 0.02
    assert np.isfinite(samples).all()
    assert 1e-4 < np.abs(samples).max() <= 1
    assert png.read_bytes().startswith(b"\x89PNG\r\n")
    said = capfd.readouterr().err
    assert "Traceback" not in said and "semitones (--transpose=auto)" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "model", wav.stem + ".png", wav.name, "run"]
