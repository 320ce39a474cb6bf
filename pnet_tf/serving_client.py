"""Performs a score with a voice that TensorFlow Serving serves; neither TensorFlow nor the voice is needed here.

    python tools/serving_client.py --server=http://localhost:8501/v1/models/violin --score=tune.musicxml --out=tune.wav

--server=grpc://localhost:8500/violin is answered in a sixth of the bytes; it needs the packages grpcio and protobuf.
"""

import http.client
import json
import pathlib
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl import flags as absl_flags
from absl import logging

from pnet_tf import command, example_scores, mastering, roll
from pnet_tf.errors import InputError, UsageError
from pnet_tf.files import read_up_to
from pnet_tf.score import Score, read_score
from pnet_tf.spec import FeatureSpec
from pnet_tf.wav_file import open_wav_writer

SIGNATURE, OUTPUT = "sound", "waveform"
# After the last note, as a performance without a server has it.
TAIL_SEC = 1
_BYTES_PER_SAMPLE, _BYTES_BESIDE = 40, 2**16
_REASON_CHARACTERS = 300


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_string(
        "server", None, "http://HOST:8501/v1/models/NAME, or grpc://HOST:8500/NAME.", flag_values=flags, required=True
    )
    absl_flags.DEFINE_string(
        "score", None, "A score, or an example, such as example:greensleeves_violin.", flag_values=flags, required=True
    )
    absl_flags.DEFINE_string("out", None, "The wav to write.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("part", None, "The part to play, by name or number.", flag_values=flags)
    absl_flags.DEFINE_float(
        "loudness", -16, "Integrated loudness of the file in LUFS.", lower_bound=-69, upper_bound=-5, flag_values=flags
    )
    absl_flags.DEFINE_float(
        "max_sec", 120, "Refuse longer pieces: a piece goes in one request.", lower_bound=1, flag_values=flags
    )
    absl_flags.DEFINE_float("timeout_sec", 120, "Wait no longer for the answer.", lower_bound=0.1, flag_values=flags)


def main(flags: absl_flags.FlagValues) -> None:
    """Performs as the flags say.

    Raises:
      UsageError: a flag's value cannot be used.
      InputError: the score cannot be used, or the server does not answer with its sound.
    """
    ask, out = _way_to(flags.server), pathlib.Path(flags.out)
    if out.suffix.lower() != ".wav":
        raise UsageError(f"--out={out}: expected a name that ends in .wav")
    spec, score = FeatureSpec(), read_score(example_scores.find_score(flags.score), part=flags.part)
    inputs = inputs_of(score, spec)
    n_samples = spec.n_samples(len(inputs["pianoroll"][0]))
    if n_samples > flags.max_sec * spec.sample_rate_hz:
        raise InputError(
            f"{flags.score}: takes {n_samples / spec.sample_rate_hz:.0f} s, more than --max_sec={flags.max_sec:g}; raise that "
            "if the server has the memory, or perform it without a server"
        )
    waveform = ask(flags.server, inputs, n_samples, flags.timeout_sec)
    if waveform.shape != (1, n_samples):
        raise InputError(
            f"{flags.server}: answered with {OUTPUT} {list(waveform.shape)}, expected {[1, n_samples]}; is it a voice of pnet_tf?"
        )
    _write(out, waveform[0], spec, flags.loudness)


def inputs_of(score: Score, spec: FeatureSpec) -> dict[str, np.ndarray]:
    """What the signature `sound` takes: rolls of a whole score and a second more, float32 [1, frames, n_pitches] by name.

    Raises:
      InputError: there is no note, or one outside the roll.
    """
    notes = roll.note_frames(score, spec)
    if not notes.n_frames:
        raise InputError(f"{score.name}: has no notes to perform")
    n_frames = notes.n_frames + round(TAIL_SEC * spec.frame_rate_hz)
    rolls = roll.rolls_from_frames(notes, spec, n_frames=n_frames)
    return {name: getattr(rolls, name)[None].astype(np.float32) for name in ("pianoroll", "onset_offset")}


def _write(out: pathlib.Path, waveform: np.ndarray, spec: FeatureSpec, loudness_lufs: float) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        as_sent = pathlib.Path(scratch, "sent.wav")
        with open_wav_writer(as_sent, spec.sample_rate_hz, subtype="FLOAT", named=out) as writer:
            writer.write(waveform)
        mastering.set_loudness(as_sent, out, loudness_lufs=loudness_lufs)
    logging.info("%s: %.1f s", out, len(waveform) / spec.sample_rate_hz)


# --- the two ways to a server


def _way_to(server: str) -> Callable[[str, Mapping[str, np.ndarray], int, float], np.ndarray]:
    parts = urllib.parse.urlsplit(server)
    ways = {"http": _ask_rest, "https": _ask_rest, "grpc": _ask_grpc}
    if parts.scheme not in ways or not parts.netloc or not parts.path.strip("/"):
        raise UsageError(f"--server={server}: expected http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME")
    return ways[parts.scheme]


def _ask_rest(server: str, inputs: Mapping[str, np.ndarray], n_samples: int, timeout_sec: float) -> np.ndarray:
    """The waveform, float32 [1, samples], by JSON; arguments: the URL, inputs by name, samples expected, seconds to wait."""
    # Rolls are whole numbers, which servers take for floats, in a third of the bytes.
    rolls = {name: array.astype(np.int8).tolist() for name, array in inputs.items()}
    body = json.dumps({"signature_name": SIGNATURE, "inputs": rolls}, separators=(",", ":")).encode()
    url = f"{server.rstrip('/')}:predict"
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    most = n_samples * _BYTES_PER_SAMPLE + _BYTES_BESIDE
    try:
        with urllib.request.urlopen(asked, timeout=timeout_sec) as answer:
            data = read_up_to(answer, most + 1)
    except urllib.error.HTTPError as error:
        raise InputError(f"{server}: refused, {error.code} ({_reason(error.read(_BYTES_BESIDE))})") from error
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{server}: no answer ({error}); is the server up, and the address right?") from error
    if len(data) > most:
        raise InputError(f"{server}: answered with more than {most >> 20} MiB for {n_samples} samples")
    try:
        # A single output comes without its name.
        return np.array(json.loads(data)["outputs"], np.float32)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{server}: its answer is no prediction ({error!r}); is it TensorFlow Serving?") from error


def _reason(data: bytes) -> str:
    """What an answer says is wrong."""
    try:
        text = str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = data.decode("utf-8", "replace")
    return " ".join(text.split())[:_REASON_CHARACTERS]


def _ask_grpc(server: str, inputs: Mapping[str, np.ndarray], n_samples: int, timeout_sec: float) -> np.ndarray:
    """As `_ask_rest`, by gRPC."""
    import grpc

    from pnet_tf import serving_messages  # brings protobuf

    parts = urllib.parse.urlsplit(server)
    request: Any = serving_messages.predict_request(SIGNATURE, inputs, model=parts.path.strip("/"), outputs=(OUTPUT,))
    most = n_samples * np.dtype(np.float32).itemsize + _BYTES_BESIDE
    with grpc.insecure_channel(parts.netloc, [("grpc.max_receive_message_length", most)]) as channel:
        call = channel.unary_unary(serving_messages.PREDICT_METHOD, request_serializer=type(request).SerializeToString)
        try:
            return serving_messages.outputs_of_response(call(request, timeout=timeout_sec))[OUTPUT]
        except grpc.RpcError as error:
            raise InputError(f"{server}: {error.code().name.lower()} ({_reason(error.details().encode())})") from error
        except (ValueError, KeyError) as error:
            raise InputError(f"{server}: its answer is no prediction ({error}); is it TensorFlow Serving?") from error


def console() -> None:
    """`pnet-serving-client`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
