"""The readers of pnet_tf that strangers' files meet: seeds to begin from, how they are changed, and the call itself.

Each `open_*` runs in the child that is attacked, prepares what does not depend on the input, and returns the function that
reads one input. That function may raise InputError and nothing else.
"""

import dataclasses
import functools
import json
import pathlib
import types
from collections.abc import Callable, Sequence

from tests.attack import formats, seeds
from tests.attack.mutation import Mutate, mutate_json, mutate_text, mutate_xml, zipped

Read = Callable[[bytes], object]
N_OURS, N_LIBRARY = 100_000, 10_000


@dataclasses.dataclass(frozen=True)
class Reader:
    """One attacked reader.

    Attributes:
      name: of the stage.
      seeds: makes valid inputs.
      mutate: changes one.
      open: prepares a reading in a scratch folder.
      n_inputs: that the recorded run gives it.
      guided: packages and modules whose coverage guides atheris; none for readers whose time is spent in native code.
      module: whose `READERS` holds it, for the child to find it.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    mutate: Mutate
    open: Callable[[pathlib.Path], Read]
    n_inputs: int
    guided: tuple[str, ...] = ()
    module: str = "tests.attack.readers"


def _open_score(suffix: str, scratch: pathlib.Path) -> Read:
    from pnet_tf import limits, roll, score
    from pnet_tf.errors import InputError
    from pnet_tf.spec import FeatureSpec

    path, spec = scratch / f"a{suffix}", FeatureSpec()
    # What music21 would read for ever is given up sooner than by default, so that more is tried.
    quick = limits.Limits(reading_sec=1.0)

    def read(data: bytes) -> object:
        """As perform reads a score, the first of several parts, and draws the beginning."""
        with limits.raised_to(quick):
            return read_score(data)

    def read_score(data: bytes) -> object:
        path.write_bytes(data)
        try:
            found = score.read_score(path)
        except InputError as error:
            if "--part" not in str(error):
                raise
            found = score.read_score(path, part="1")
        return roll.rolls_from_score(score.scale_tempo(found, 1.5), spec, n_frames=100)

    return read


def _open_labels(scratch: pathlib.Path) -> Read:
    from pnet_tf import score_labels

    path = scratch / "a.csv"
    as_score = _open_score(".csv", scratch)

    def read(data: bytes) -> object:
        """As prepare and then as perform reads labels."""
        path.write_bytes(data)
        score_labels.label_instruments(data, where="a.csv")
        score_labels.read_labels(path, sample_rate_hz=48000)
        return as_score(data)

    return read


def _open_spec(scratch: pathlib.Path) -> Read:
    from pnet_tf.spec import FILE_NAME, FeatureSpec

    def read(data: bytes) -> object:
        """A spec, and what follows from its numbers."""
        (scratch / FILE_NAME).write_bytes(data)
        spec = FeatureSpec.read(scratch)
        return FeatureSpec.from_json(spec.to_json(), where="x").digest(), spec.n_bins, spec.n_frames(10**6)

    return read


def _open_manifest(scratch: pathlib.Path) -> Read:
    from pnet_tf import inspect_shards, shard_set
    from pnet_tf.spec import FILE_NAME

    (scratch / FILE_NAME).write_bytes(seeds.specs()[0])
    for name in ("a.tfrecord", "b.tfrecord"):
        with (scratch / name).open("wb") as file:
            file.truncate(2_000_000)

    def read(data: bytes) -> object:
        """A sealed shard set with this manifest, described."""
        (scratch / shard_set.MANIFEST_NAME).write_bytes(data)
        (scratch / shard_set.COMPLETED_NAME).write_text(shard_set.seal(scratch))
        shards = shard_set.open_shard_set(scratch)
        return inspect_shards.describe(shards), shards.manifest.to_json()

    return read


def _open_voice(name: str, scratch: pathlib.Path) -> Read:
    from pnet_tf import model_config, voice_folder
    from pnet_tf.model_config import ModelConfig
    from pnet_tf.spec import FILE_NAME, FeatureSpec

    (scratch / voice_folder.WEIGHTS_NAME).write_bytes(seeds.weights()[0])
    facts = {"instrument": "oboe", "pitch_frames": [2] * 128, "window_frames": 64, "loudness_lufs": -20.5}
    voice_folder.write_facts(scratch, FeatureSpec(), ModelConfig(width=1 / 128, bands=(2,)), facts)
    files = {item: (scratch / item).read_bytes() for item in (voice_folder.VOICE_NAME, model_config.FILE_NAME, FILE_NAME)}

    def read(data: bytes) -> object:
        """A voice folder of which one file is this; its seals are made to fit."""
        for item, content in files.items():
            (scratch / item).write_bytes(content)
        (scratch / name).write_bytes(data)
        if name == voice_folder.VOICE_NAME:
            _seal_facts(scratch / name, data)
        spec = FeatureSpec.read(scratch)
        config = ModelConfig.from_json((scratch / model_config.FILE_NAME).read_bytes(), where=name)
        if name != voice_folder.VOICE_NAME:
            voice_folder.write_facts(scratch, spec, config, facts)
        return voice_folder.open_folder(scratch)

    return read


def _seal_facts(path: pathlib.Path, data: bytes) -> None:
    """Makes the digest of a voice.json fit, where it is an object at all."""
    from pnet_tf import voice_folder

    try:
        fields = json.loads(data)
        path.write_text(json.dumps({**fields, "facts_sha256": voice_folder.digest_of_facts(fields)}))
    except (ValueError, TypeError, AttributeError, RecursionError):
        path.write_bytes(data)


def _open_run(scratch: pathlib.Path) -> Read:
    from pnet_tf import model_config, run_folder
    from pnet_tf.model_config import ModelConfig
    from pnet_tf.spec import FILE_NAME

    (scratch / FILE_NAME).write_bytes(seeds.specs()[0])
    (scratch / model_config.FILE_NAME).write_text(ModelConfig().to_json())

    def read(data: bytes) -> object:
        """A run folder with this record."""
        (scratch / run_folder.RUN_NAME).write_bytes(data)
        return run_folder.open_run(scratch)

    return read


def _open_corpus(name: str, scratch: pathlib.Path) -> Read:
    from pnet_tf import musicnet

    path, audio = scratch / name, scratch / "audio"
    audio.mkdir(exist_ok=True)

    def read(data: bytes) -> object:
        """A source, and every recording of it, as prepare walks through them."""
        path.write_bytes(data)
        corpus = musicnet.open_corpus(path, "violin")
        for recording in corpus.recordings(corpus.names, audio):
            corpus.release(recording)
        left = list(audio.iterdir())
        assert not left, f"left behind: {left}"
        return corpus.names

    return read


def _open_weights(scratch: pathlib.Path) -> Read:
    from pnet_tf import voice_folder

    shapes = {"a/kernel": (3, 2, 2), "a/bias": (2,), "b/kernel": (1, 4)}
    variables = [
        types.SimpleNamespace(path=p, shape=s, dtype="float32", assign=lambda array: None) for p, s in shapes.items()
    ]
    model = types.SimpleNamespace(variables=variables)

    def read(data: bytes) -> object:
        """The weights of a voice of three weights."""
        (scratch / voice_folder.WEIGHTS_NAME).write_bytes(data)
        return voice_folder.load_weights(scratch, model)

    return read


def _open_checkpoint(scratch: pathlib.Path) -> Read:
    from pnet_tf import checkpoint

    path = scratch / "step-000000001.npz"

    def read(data: bytes) -> object:
        """The only checkpoint of a run, and the same file as weights."""
        path.write_bytes(data)
        _, progress = checkpoint.newest_whole(scratch, seed=0)
        assert type(progress.step) is int and type(progress.plateau.learning_rate) is float, progress
        return checkpoint.read_weights(path)

    return read


@functools.lru_cache(maxsize=1)
def _shard() -> tuple[bytes, tuple[int, ...]]:
    """A shard of two chunks and where they begin."""
    import numpy as np

    from pnet_tf import records

    random, spec = np.random.default_rng(0), _small_spec()
    chunks = []
    for n_frames in (8, 5):
        rolls = random.integers(0, 2, (2, n_frames, spec.n_pitches)).astype(np.int8)
        chunks.append(records.serialize_chunk(records.Chunk(random.random((n_frames, spec.n_bins)).astype("<f2"), *rolls)))
    return formats.tfrecord(chunks), (0, len(chunks[0]) + 16)


def _small_spec() -> object:
    from pnet_tf.spec import FeatureSpec

    return FeatureSpec(n_fft=8, hop_samples=4, n_pitches=3)


def _open_shards(scratch: pathlib.Path) -> Read:
    import tensorflow as tf

    from pnet_tf import dataset, records, shard_set

    data, offsets = _shard()
    spec = _small_spec()
    fields = dict(
        n_frames=13, byte_offsets=offsets, size_bytes=len(data), ranges={"train": ((0, 13),)}, pitch_frames=(1, 1, 1)
    )
    manifest = shard_set.Manifest("violin", "folder", 8, 8, (seeds.entry(**fields),), {})
    path = scratch / "a.tfrecord"
    path.write_bytes(data)
    shards = shard_set.ShardSet(scratch, spec, manifest)
    windows = dataset.fixed_windows(shards, dataset.plan_windows(shards, "train", window_frames=6), batch_size=2)

    @tf.function
    def window(first_frame: tf.Tensor) -> dict[str, tf.Tensor]:
        """One window, read as the pipeline does; to set the whole pipeline up takes 40 times as long."""
        chunks = dataset._records_from(tf.constant(str(path)), tf.constant(0, tf.int64)).take(2).batch(2)
        return records.parse_chunks(chunks.get_single_element(), spec, first_frame=first_frame, n_frames=6)

    n_read = iter(range(10**9))

    def read(changed: bytes) -> object:
        """Every window of a training on a shard that was changed after it was prepared; now and then by its pipeline."""
        path.write_bytes(changed)
        with dataset.shards_named(shards):
            if not next(n_read) % 50:
                return [batch["log_power"].shape for batch in windows]
            return [window(tf.constant(first_frame, tf.int64)) for first_frame in (0, 6)]

    return read


def _open_audio(suffix: str, scratch: pathlib.Path) -> Read:
    from pnet_tf import audio_file
    from pnet_tf.spec import FeatureSpec

    path, spec = scratch / f"a.{suffix}", FeatureSpec()

    def read(data: bytes) -> object:
        """Header, and the sound at the spec's rate."""
        path.write_bytes(data)
        audio_file.audio_info(path)
        waveform = audio_file.read_waveform(path, spec)
        assert waveform.ndim == 1 and waveform.dtype == "float32" and len(waveform), waveform.shape
        return waveform

    return read


def _of(function: Callable[..., Read], first: str) -> Callable[[pathlib.Path], Read]:
    return functools.partial(function, first)


def _runs() -> list[bytes]:
    return [b'{"training": {"seed": 0}, "voice": {"instrument": "violin", "pitch_frames": [1, 2], "window_frames": 64}}']


def _voice_seeds(name: str) -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _open_voice(name, pathlib.Path(folder))
        return [(pathlib.Path(folder) / name).read_bytes()]


_SCORE = ("pnet_tf.score", "pnet_tf.score_notes")
_OURS = (
    Reader("label csv", seeds.label_csvs, mutate_text, _open_labels, N_OURS, (*_SCORE, "pnet_tf.score_labels")),
    Reader("midi", seeds.midis, formats.mutate_midi, _of(_open_score, ".mid"), N_OURS, (*_SCORE, "pnet_tf.score_midi")),
    Reader("feature_spec.json", seeds.specs, mutate_json, _open_spec, N_OURS, ("pnet_tf.spec", "json")),
    Reader("manifest.json", seeds.manifests, mutate_json, _open_manifest, N_OURS, ("pnet_tf.shard_set", "json")),
    Reader("voice.json", _of(_voice_seeds, "voice.json"), mutate_json, _of(_open_voice, "voice.json"), N_OURS),
    Reader(
        "model_config.json",
        _of(_voice_seeds, "model_config.json"),
        mutate_json,
        _of(_open_voice, "model_config.json"),
        N_OURS,
    ),
    Reader("run.json", _runs, mutate_json, _open_run, N_OURS),
    Reader(
        *("musicnet.npz", seeds.npzs_of_pickles, formats.mutate_npz_of_pickles, _of(_open_corpus, "a.npz"), N_OURS),
        ("pnet_tf.inert_pickle", "pnet_tf.musicnet_npz", "zipfile"),
    ),
    Reader(
        "musicnet.tar",
        seeds.tars,
        formats.mutate_packed,
        _of(_open_corpus, "a.tar.gz"),
        N_OURS,
        ("pnet_tf.musicnet_tar", "tarfile"),
    ),
    Reader("weights.npz", seeds.weights, zipped(formats.mutate_head), _open_weights, N_OURS),
    Reader("checkpoint.npz", seeds.checkpoints, zipped(formats.mutate_head), _open_checkpoint, N_OURS),
    Reader("shards", lambda: [_shard()[0]], formats.mutate_tfrecord, _open_shards, N_OURS),
)
_LIBRARIES = (
    Reader(
        "musicxml", seeds.musicxmls, mutate_xml, _of(_open_score, ".musicxml"), N_LIBRARY, (*_SCORE, "pnet_tf.score_musicxml")
    ),
    Reader("mxl", seeds.mxls, zipped(mutate_xml), _of(_open_score, ".mxl"), N_LIBRARY),
    Reader("mei", _of(seeds.texts, "mei"), mutate_xml, _of(_open_score, ".mei"), N_LIBRARY),
    *(
        Reader(kind, _of(seeds.texts, kind), mutate_text, _of(_open_score, f".{kind}"), N_LIBRARY)
        for kind in ("krn", "abc", "tntxt")
    ),
    *(
        Reader(kind, _of(seeds.sounds, kind), formats.mutate_head, _of(_open_audio, kind), N_LIBRARY)
        for kind in ("wav", "flac", "mp3")
    ),
    Reader("ogg", _of(seeds.sounds, "ogg"), formats.mutate_ogg, _of(_open_audio, "ogg"), N_LIBRARY),
)
READERS = {reader.name: reader for reader in (*_OURS, *_LIBRARIES)}


def whole(reader: Reader, scratch: pathlib.Path) -> Read:
    """The opened reader, once it has read its own seeds; raises what it raises on them."""
    read = reader.open(scratch)
    for data in reader.seeds():
        read(data)
    return read


__all__ = ["READERS", "Read", "Reader", "whole"]
