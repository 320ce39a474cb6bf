"""The client, executed against a stand-in that speaks REST and gRPC; what a server may answer instead; what may go wrong."""

import json
import types

import numpy as np
import pytest
import serving_stand_in
import soundfile

from pnet_tf import command, render, serving_client
from pnet_tf.score import read_score
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
LABELS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n0,9000,41,62,0,1,\n9000,30000,41,66,0,1,\n"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def model(tiny_served):
    return serving_stand_in.Model(tiny_served / "1")


@pytest.fixture
def score(tmp_path):
    (tmp_path / "two_notes.csv").write_text(LABELS)
    return tmp_path / "two_notes.csv"


def run(server, score, out, *flags):
    arguments = [f"--server={server}", f"--score={score}", f"--out={out}", *flags]
    return command.run(serving_client.define_flags, serving_client.main, arguments)


@pytest.mark.slow
def test_rest_and_grpc_bring_the_sound_of_the_signature(model, score, tmp_path):
    with serving_stand_in.serving_rest(serving_stand_in.rest_of(model, "tiny")) as rest:
        assert run(f"{rest}/v1/models/tiny", score, tmp_path / "rest.wav", "--loudness=-20") == 0
        assert run(f"{rest}/v1/models/tiny/versions/1", score, tmp_path / "one.wav", "--loudness=-20") == 0
    with serving_stand_in.serving_grpc(model, "tiny") as address:
        assert run(f"grpc://{address}/tiny", score, tmp_path / "grpc.wav", "--loudness=-20") == 0
    found = {name: soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("rest", "one", "grpc")}
    inputs = serving_client.inputs_of(read_score(score), SPEC)
    expected = model.predict("sound", inputs)["waveform"][0]
    gain = np.dot(found["rest"], expected) / np.dot(expected, expected)
    assert gain > 0
    np.testing.assert_allclose(found["rest"], gain * expected, atol=2e-4)
    np.testing.assert_allclose(found["one"], found["rest"], atol=1e-4)
    np.testing.assert_allclose(found["grpc"], found["rest"], atol=1e-4)


def test_a_piece_ends_as_it_does_without_a_server(score):
    assert serving_client.TAIL_SEC == render.TAIL_SEC
    inputs = serving_client.inputs_of(read_score(score), SPEC)
    assert {value.shape for value in inputs.values()} == {(1, 118 + 172, SPEC.n_pitches)}
    assert render.Piece(read_score(score), types.SimpleNamespace(spec=SPEC)).n_frames == 118 + 172
    assert np.flatnonzero(inputs["pianoroll"][0, 0]).tolist() == [62] and inputs["onset_offset"].min() == -1


@pytest.mark.slow
def test_rows_do_for_the_signatures_without_scalars_and_not_for_the_others(model, score):
    """What docs/serving.md says of `instances`; two in a batch are what each is alone."""
    inputs = serving_client.inputs_of(read_score(score), SPEC)
    rows = [{name: value[0, shift : 60 + shift].tolist() for name, value in inputs.items()} for shift in (0, 40)]
    both = serving_stand_in.predict_rest(model, {"signature_name": "sound", "instances": rows})["predictions"]
    assert len(both) == 2
    for row, waveform in zip(rows, both, strict=True):
        alone = serving_stand_in.predict_rest(model, {"signature_name": "sound", "instances": [row]})["predictions"]
        np.testing.assert_allclose(waveform, alone[0], atol=1e-5)
        assert len(waveform) == SPEC.n_samples(60)
    with pytest.raises(serving_stand_in.Refused, match=r"(iterations|seed) has shape \[1\], expected \(\)"):
        rows = [{**rows[0], "iterations": 1, "seed": 0}]
        serving_stand_in.predict_rest(model, {"signature_name": "audio", "instances": rows})
    columns = {name: [value] for name, value in rows[0].items()} | {"iterations": 1, "seed": 0}
    answer = serving_stand_in.predict_rest(model, {"signature_name": "audio", "inputs": columns})["outputs"]
    assert answer.keys() == {"log_power", "waveform"}


def failure(capsys, *arguments, code=1):
    assert run(*arguments) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("serving_client: "), said
    return said


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (404, b'{"error": "Servable not found\\nfor request"}', "refused, 404 (Servable not found for request)"),
        (502, b"<html>Bad gateway</html>", "refused, 502 (<html>Bad gateway</html>)"),
        (200, b"<html>Hello</html>", "its answer is no prediction"),
        (200, b'{"outputs": {"log_power": [[1]]}}', "its answer is no prediction"),
        (200, b'{"predictions": [[1]]}', "its answer is no prediction"),
        (200, b"[" * 9000, "its answer is no prediction"),
        (200, b'{"outputs": [[1, 2]]}', "answered with waveform [1, 2], expected [1, 73984]"),
        (200, b" " * 4_000_000, "answered with more than 2 MiB for 73984 samples"),
    ],
)
def test_an_answer_that_is_none_is_one_line(status, answer, expected, score, tmp_path, capsys):
    with serving_stand_in.serving_rest(lambda path, data: (status, answer)) as address:
        assert expected in failure(capsys, f"{address}/v1/models/x", score, tmp_path / "x.wav")
    assert not (tmp_path / "x.wav").exists()


def test_sound_that_is_no_numbers_is_not_written(score, tmp_path, capsys):
    answer = json.dumps({"outputs": [[float("nan")] * 73984]}).encode()
    with serving_stand_in.serving_rest(lambda path, data: (200, answer)) as address:
        assert "samples that are no numbers" in failure(capsys, f"{address}/v1/models/x", score, tmp_path / "x.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["two_notes.csv"]


def test_a_server_that_is_not_there_or_has_no_such_model_is_one_line(score, tmp_path, capsys):
    with serving_stand_in.serving_rest(lambda path, data: (200, b"")) as address:
        pass
    assert "no answer" in failure(capsys, f"{address}/v1/models/x", score, tmp_path / "x.wav")
    there = address.removeprefix("http://")
    assert "unavailable" in failure(capsys, f"grpc://{there}/x", score, tmp_path / "x.wav", "--timeout_sec=5")
    with serving_stand_in.serving_grpc(None, "tiny") as grpc_address:
        assert "not_found (Servable not found" in failure(capsys, f"grpc://{grpc_address}/other", score, tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("server", "out", "flags", "code", "expected"),
    [
        ("localhost:8501", "x.wav", [], 2, "expected http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME"),
        ("grpc://localhost:8500", "x.wav", [], 2, "expected http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME"),
        ("file:///etc/passwd", "x.wav", [], 2, "expected http://HOST:PORT/v1/models/NAME"),
        ("http://localhost/v1/models/x", "x.mp3", [], 2, "expected a name that ends in .wav"),
        ("http://localhost/v1/models/x", "x.wav", ["--max_sec=1"], 1, "takes 2 s, more than --max_sec=1"),
        ("http://localhost/v1/models/x", "x.wav", ["--score=example:no"], 1, "example:no: no such example"),
    ],
)
def test_mistakes_are_one_line(server, out, flags, code, expected, score, tmp_path, capsys):
    assert expected in failure(capsys, server, score, tmp_path / out, *flags, code=code)

