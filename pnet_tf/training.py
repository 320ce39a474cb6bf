"""A training from its settings to its end: the devices, the data, the run folder, and what a person did wrong."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence

import numpy as np

from pnet_tf import dataset
from pnet_tf.checkpoint import checkpoints_in
from pnet_tf.cluster import Cluster, open_cluster
from pnet_tf.errors import InputError
from pnet_tf.files import read_small, write_whole
from pnet_tf.instruments import RANGES
from pnet_tf.level_range import level_range
from pnet_tf.model_config import N_PITCHES
from pnet_tf.run_folder import RUN_NAME, Run, only_training_in, open_run, start_run
from pnet_tf.settings import Settings
from pnet_tf.shard_set import ShardSet, open_shard_set, seal
from pnet_tf.stop_request import StopRequest
from pnet_tf.trained import first_weights, open_trained
from pnet_tf.trainer import CHECKPOINTS_NAME, Trainer
from pnet_tf.voice_folder import LICENSE_NAME, find_voice

_MOVED = 3  # semitones
_GO_ON = "start all workers again with the same command, and the training goes on from its last checkpoint"


def train(settings: Settings, *, flag_text: str = "", stop: StopRequest | None = None) -> bool:
    """Trains a network, or goes on where the same run stopped.

    Args:
      settings: data, run folder, network and recipe.
      flag_text: the resolved flags, kept in the run folder.
      stop: what listens to signals; None listens while steps are taken.

    Returns:
      Whether the training is at its end; otherwise it was asked to stop, and goes on when it is started again.

    Raises:
      InputError: data or run folder cannot be used, the loss is no number any more, or the batch fits no device.
      KeyboardInterrupt: a person interrupted it; the state is saved.
    """
    stop = stop or StopRequest()
    stop.leave_to_the_system()
    cluster = open_cluster(settings.strategy)
    stop.listen()
    # Before the folder is begun: with another batch size it could not go on.
    cluster.require_equal_shares(settings.batch_size)
    with cluster.peers_watched(_GO_ON), contextlib.ExitStack() as stack:
        with cluster.together():
            shards = open_shard_set(settings.data)
            _require_instrument(shards, settings)
            pitches = _spectra_pitches(settings, shards) if cluster.is_chief else None
            plan = dataset.plan_windows(shards, "train", window_frames=settings.window_frames)
        settings = _with_notes(settings, shards, json.loads(cluster.text_from_chief(json.dumps(pitches))))
        _require_same(seal(shards.folder), cluster, what=f"{shards.folder}: the workers' --data")
        _require_same(settings.what_all_share(), cluster, what="the workers' flags")
        with cluster.together():
            if cluster.is_chief:
                with dataset.shards_named(shards):
                    start_run(_run_of(settings, shards, plan), flag_text=flag_text)
                stack.enter_context(only_training_in(settings.run_dir))
                _keep_terms(settings)
        trainer = Trainer(settings, shards, plan, cluster=cluster, stop=stop)
        with contextlib.closing(trainer), dataset.shards_named(shards):
            return trainer.run(flag_text=flag_text)


def _spectra_pitches(settings: Settings, shards: ShardSet) -> tuple[int, int] | None:
    """The pitches that have spectra of their own: as the run, or what it begins with, has them, or else the instrument's."""
    if not settings.note_spectra:
        return None
    source = settings.run_dir if (settings.run_dir / RUN_NAME).exists() else settings.init_from
    theirs = None if source is None else open_trained(source).config.note_spectra
    lowest, highest = RANGES.get(shards.manifest.instrument, (0, N_PITCHES - 1))
    # A little beyond what it can play, for windows that are moved in pitch.
    return theirs or (max(lowest - _MOVED, 0), min(highest + _MOVED, shards.spec.n_pitches - 1))


def _with_notes(settings: Settings, shards: ShardSet, pitches: Sequence[int] | None) -> Settings:
    """The settings with what only the data knows of the network: whose notes have spectra, and which recordings there are."""
    recordings = shards.manifest.trained_names() if settings.per_recording else ()
    if pitches is None:
        return settings
    config = dataclasses.replace(settings.config, note_spectra=tuple(pitches), recordings=recordings)
    return dataclasses.replace(settings, config=config)


def _keep_terms(settings: Settings) -> None:
    """What is trained from a voice keeps the voice's terms, beside it, and hands them on when it is exported."""
    ours = settings.run_dir / LICENSE_NAME
    if settings.init_from is None or ours.exists() or checkpoints_in(settings.run_dir / CHECKPOINTS_NAME):
        return
    theirs = find_voice(settings.init_from) / LICENSE_NAME
    if theirs.is_file():
        write_whole(ours, read_small(theirs).decode("utf-8", "replace"))


def _run_of(settings: Settings, shards: ShardSet, plan: dataset.WindowPlan) -> Run:
    training = {**settings.what_is_learnt(), "init_from": _first_weights(settings, shards)}
    voice = {
        "instrument": shards.manifest.instrument,
        "pitch_frames": list(shards.manifest.trained_pitch_frames()),
        "window_frames": settings.window_frames,
    }
    # A run that has begun keeps the levels that it began with.
    if not (settings.run_dir / RUN_NAME).exists() and (levels := level_range(shards, plan)) is not None:
        voice |= dataclasses.asdict(levels)
    return Run(settings.run_dir, shards.spec, settings.config, training=training, voice=voice)


def _first_weights(settings: Settings, shards: ShardSet) -> dict[str, str] | None:
    """What the record of a run says of --init_from; a run that has a checkpoint does not need them again."""
    if settings.init_from is None:
        return None
    recorded = open_run(settings.run_dir).training.get("init_from") if (settings.run_dir / RUN_NAME).exists() else None
    recorded = recorded if isinstance(recorded, dict) else {}
    if recorded.get("name") == settings.init_from and checkpoints_in(settings.run_dir / CHECKPOINTS_NAME):
        return recorded
    found = first_weights(settings.init_from, shards.spec, settings.config)
    return recorded if recorded.get("sha256") == found["sha256"] else found


def _require_instrument(shards: ShardSet, settings: Settings) -> None:
    if settings.instrument not in (None, shards.manifest.instrument):
        raise InputError(
            f"{shards.folder}: holds {shards.manifest.instrument}, and --instrument={settings.instrument}; give other --data"
        )


def _require_same(text: str, cluster: Cluster, *, what: str) -> None:
    """Raises InputError, in every worker, where one has another text than the others."""
    digests = np.zeros(cluster.n_workers)
    digests[cluster.index] = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    if len(set(cluster.sum_of(digests).tolist())) > 1:
        raise InputError(f"{what} differ from one to another; start all with the same")
