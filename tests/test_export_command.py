"""`export_savedmodel` as a person meets it."""

import re
import shutil

from absl import logging

from pnet_tf import command, export, export_command, voice_folder
from pnet_tf.shard_set import open_shard_set


def run(*arguments):
    return command.run(export_command.define_flags, export_command.main, list(arguments))


def test_it_says_where_the_voice_is_and_nothing_of_tensorflows_own(tiny_run, tmp_path, capfd):
    """TensorFlow remarks on input names, sharding and fingerprints at every saving."""
    out = tmp_path / "new" / "model"
    assert run(f"--run_dir={tiny_run}", f"--out={out}") == 0
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"export_command: {out}: perform a score with python tools/perform.py --model={out} --score=FILE --out=FILE.wav"
    ]
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_other_things_that_are_said_while_saving_come_through(caplog):
    with caplog.at_level("INFO", logger="absl"), export._tensorflow_quiet():
        logging.warning("Writing fingerprint to x")
        logging.warning("Function `audio` contains input name(s) resource with unsupported characters")
        logging.info("Sharding callback duration: 3")
        logging.warning("the disk smells of smoke")
    logging.warning("Writing fingerprint to y")
    assert [record.getMessage() for record in caplog.records] == ["the disk smells of smoke", "Writing fingerprint to y"]


def failure(capsys, *arguments):
    code = run(*arguments)
    said = capsys.readouterr().err
    assert re.fullmatch(r"export_command: .*\n", said), said
    return code, said


def test_mistakes_are_one_line(tiny_run, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "out"
    assert failure(capsys, f"--out={out}")[0] == 2
    for run_dir, message in ((tmp_path, "neither a run folder (no run.json) nor"), (tmp_path / "file", "no such folder")):
        code, said = failure(capsys, f"--run_dir={run_dir}", f"--out={out}")
        assert (code, message in said) == (1, True)
    code, said = failure(capsys, f"--run_dir={tiny_run}", f"--out={tmp_path}")
    assert (code, "exists already and is not empty" in said) == (1, True)
    code, said = failure(capsys, f"--run_dir={tiny_run}", f"--out={tmp_path / 'file' / 'model'}")
    assert (code, "cannot make its folder" in said) == (1, True)
    damaged = shutil.copytree(tiny_run, tmp_path / "damaged")
    weights = damaged / "best.weights.npz"
    weights.write_bytes(weights.read_bytes()[:5000])
    code, said = failure(capsys, f"--run_dir={damaged}", f"--out={out}")
    assert (code, "best.weights.npz: cannot read the weights" in said) == (1, True)
    assert not out.exists()


def test_a_training_per_recording_is_exported_as_the_recordings_that_are_named(tiny_shards, tiny_flags, tmp_path, capsys):
    from pnet_tf import train

    run_dir, flags = tmp_path / "run", [*tiny_flags, "--steps=2", "--note_spectra", "--per_recording"]
    assert command.run(train.define_flags, train.main, [*flags, f"--data={tiny_shards}", f"--run_dir={run_dir}"]) == 0
    names = open_shard_set(tiny_shards).manifest.trained_names()
    capsys.readouterr()
    code, said = failure(capsys, f"--run_dir={run_dir}", f"--out={tmp_path / 'x'}", "--sounds_like=nobody")
    assert (code, f"knows no recording nobody to sound like (it knows {', '.join(names)})" in said) == (1, True)
    weights = {}
    for number, like in enumerate(("", *names)):
        out = tmp_path / f"voice{number}"
        assert run(f"--run_dir={run_dir}", f"--out={out}", "--format=voice", f"--sounds_like={like}") == 0
        _, config, _ = voice_folder.open_folder(out)
        assert (config.note_spectra, config.recordings) == ((52, 106), ())
        weights[like] = (out / "weights.npz").read_bytes()
    assert len(set(weights.values())) == len(weights)
    assert run(f"--run_dir={tmp_path / 'voice1'}", f"--out={tmp_path / 'model'}") == 0
    assert run(f"--run_dir={tmp_path / 'voice1'}", f"--out={tmp_path / 'bare'}", "--format=voice", "--nolevels") == 0
    capsys.readouterr()
    code, said = failure(capsys, f"--run_dir={run_dir}", f"--out={tmp_path / 'x'}", "--nolevels", f"--match_peaks={tiny_shards}")
    assert (code, "--match_peaks and --nolevels" in said) == (2, True)
    code, said = failure(capsys, f"--run_dir={run_dir}", f"--out={tmp_path / 'x'}", f"--match_peaks={tmp_path / 'nowhere'}")
    assert (code, "nowhere" in said) == (1, True)
    facts = [voice_folder.open_folder(tmp_path / name)[2] for name in ("voice1", "bare")]
    assert [levels["noise_floor"] is None for levels in facts] == [False, True]
    again, same = tmp_path / "again", [*tiny_flags, "--steps=1", "--note_spectra", f"--init_from={tmp_path / 'voice1'}"]
    assert command.run(train.define_flags, train.main, [*same, f"--data={tiny_shards}", f"--run_dir={again}"]) == 0
