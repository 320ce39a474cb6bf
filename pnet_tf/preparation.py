"""A whole corpus to a shard set: what is done already, what is left, in which worker, and what marks the end."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
import tqdm
from absl import logging

from pnet_tf import lanes, limits, musicnet, preparation_beam, preparer, preparer_remote, records, splits
from pnet_tf import spec as spec_room
from pnet_tf.corpus import Corpus, Recording
from pnet_tf.errors import InputError
from pnet_tf.files import held, read_small, write_whole
from pnet_tf.remote import AnyPath, RemotePath, absolute, copy_whole, remove_tree
from pnet_tf.shard_set import (
    COMPLETED_NAME,
    MANIFEST_NAME,
    Manifest,
    RecordingEntry,
    open_shard_set,
    seal,
)
from pnet_tf.spec import FeatureSpec, require_same

_PLAN_NAME = "preparation.json"
_LEFT_OUT_NAME = "left_out.json"
_SCRATCH_PREFIX = ".scratch-"
# What a run that was stopped in its first moment leaves behind.
_FIRST_FILES = {_PLAN_NAME, f".{_PLAN_NAME}.partial", f".{spec_room.FILE_NAME}.partial"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to prepare, from where, into which folder; fields as the flags of `prepare`."""

    instrument: str
    source: AnyPath
    folder: AnyPath
    spec: FeatureSpec
    n_workers: int
    max_bad_labels: float = 0.01
    validation_share: float = 0.1
    window_frames: int = 864
    skip_bad: bool = False
    part: str | None = None
    runner: str | None = None
    runner_options: tuple[str, ...] = ()


def prepare_corpus(plan: Plan) -> Manifest:
    """Makes the shard set of a corpus, or finishes one that was stopped.

    Args:
      plan: what to prepare.

    Returns:
      The manifest that was written.

    Raises:
      InputError: the source cannot be used; the folder holds something else, or another preparation is at work in it; a
        recording cannot be used (those that can are finished and kept).
    """
    corpus = musicnet.open_corpus(plan.source, plan.instrument, part=plan.part)
    _make_folder(plan.folder)
    with _only_preparation_in(plan.folder):
        return _prepare(plan, corpus)


def _prepare(plan: Plan, corpus: Corpus) -> Manifest:
    """As `prepare_corpus`, in a folder that is there."""
    if (plan.folder / COMPLETED_NAME).exists():
        _require_same_plan(plan)
        manifest = open_shard_set(plan.folder).manifest
        if not _source_changed(plan, corpus, manifest):
            logging.info("%s: is complete already", plan.folder)
            return manifest
        logging.info("%s: the source has changed since; what is new or different is prepared", plan.folder)
        (plan.folder / COMPLETED_NAME).unlink()
    _claim_folder(plan)
    entries = {name: entry for name in corpus.names if (entry := _finished_entry(plan, corpus, name)) is not None}
    _remove_others(plan, corpus)
    if entries:
        logging.info("%s: goes on, %d of %d recordings are there", plan.folder, len(entries), len(corpus.names))
    bad: dict[str, str] = {}
    made_from: dict[str, str] = {}
    missing = [name for name in corpus.names if name not in entries]
    for recording, result in _prepare_missing(plan, corpus, missing, made_from):
        if isinstance(result, InputError):
            bad[recording.name] = str(result)
            logging.error("%s (%s): %s", recording.name, recording.audio.name, result)
        else:
            entries[recording.name] = result
            _say_alignment(result)
    if bad and not plan.skip_bad:
        raise InputError(
            f"{len(bad)} of {len(corpus.names)} recordings cannot be used ({'; '.join(bad.values())}); the others are "
            "finished and kept: mend or remove these and run again, or add --skip_bad"
        )
    _remember_left_out(plan.folder, {name: made_from[name] for name in sorted(bad)})
    return _finish(plan, corpus, entries, bad)


def _finish(
    plan: Plan, corpus: Corpus, entries: Mapping[str, RecordingEntry], bad: Mapping[str, str]
) -> Manifest:
    """Splits the recordings, writes the manifest and, last, the mark that the set is whole."""
    if not any(entry.split == "train" for entry in entries.values()):
        raise InputError(f"{plan.source}: holds no {plan.instrument} recording to train on ({len(entries)} for testing)")
    ordered = splits.assign_ranges(
        [entries[name] for name in sorted(entries)],
        window_frames=plan.window_frames,
        validation_share=plan.validation_share,
    )
    skipped = {reason: str(count) for reason, count in corpus.skipped.items()} | dict(bad)
    manifest = Manifest(
        instrument=plan.instrument,
        source_kind=corpus.kind,
        chunk_frames=records.CHUNK_FRAMES,
        guard_frames=plan.window_frames,
        recordings=ordered,
        skipped=skipped,
    )
    if not any("validation" in entry.ranges for entry in ordered):
        logging.warning(
            "%s: too little audio for a validation part (recordings need %d windows of %d frames); training will have none",
            plan.folder,
            splits.MIN_WINDOWS,
            plan.window_frames,
        )
    write_whole(plan.folder / MANIFEST_NAME, manifest.to_json())
    write_whole(plan.folder / COMPLETED_NAME, seal(plan.folder))
    return manifest


def _prepare_missing(
    plan: Plan, corpus: Corpus, names: Sequence[str], made_from: dict[str, str]
) -> Iterator[tuple[Recording, RecordingEntry | InputError]]:
    """Prepares recordings in processes of this machine or on Beam; scratch files go when they are done with.

    `made_from` gets what each was made from, by name.
    """
    if not names:
        return
    with _scratch(plan) as (here, landing):
        under_way: dict[str, Recording] = {}

        def jobs() -> Iterator[preparer.Job]:
            """The recordings as the source gives them, remembered until they are done."""
            for recording in corpus.recordings(names, here):
                under_way[recording.name] = recording
                made_from[recording.name] = _made_from(plan, corpus, recording.name)
                yield _job(plan, recording, made_from=made_from[recording.name])

        if plan.runner is None:
            results = _results_here(plan, jobs(), landing, n_jobs=len(names))
        else:
            results = preparation_beam.run_on_beam(
                _visible_jobs(jobs(), here, landing), runner=plan.runner, options=plan.runner_options, scratch=landing
            )
        for job, result in results:
            recording = under_way.pop(job.name)
            corpus.release(recording)
            yield recording, _without_scratch(result, plan, here, landing)


def _results_here(
    plan: Plan, jobs: Iterator[preparer.Job], landing: AnyPath, *, n_jobs: int
) -> Iterator[tuple[preparer.Job, RecordingEntry | InputError]]:
    """What becomes of jobs in worker processes, with a progress bar."""
    work = preparer.prepare_recording
    if isinstance(plan.source, RemotePath) or isinstance(plan.folder, RemotePath):
        work = functools.partial(preparer_remote.prepare_job, landing=landing)
    results = lanes.run_in_lanes(work, jobs, n_workers=min(plan.n_workers, n_jobs), set_up=_set_up_worker)
    return tqdm.tqdm(results, total=n_jobs, unit="recording", desc=plan.instrument)


def _visible_jobs(jobs: Iterator[preparer.Job], here: pathlib.Path, landing: AnyPath) -> Iterator[preparer.Job]:
    """The jobs, with audio that only this machine sees moved to where the workers see it."""
    for job in jobs:
        if here != landing and isinstance(job.audio, pathlib.Path) and job.audio.is_relative_to(here):
            copy_whole(job.audio, landing / job.audio.name, landing=landing)
            job.audio.unlink()
            job = dataclasses.replace(job, audio=landing / job.audio.name)
        yield job


def _without_scratch(
    result: RecordingEntry | InputError, plan: Plan, *scratch: AnyPath
) -> RecordingEntry | InputError:
    """A refusal of audio out of an archive names the archive, not a folder that is gone when somebody reads it."""
    message = str(result) if isinstance(result, InputError) else ""
    for folder in scratch:
        message = message.replace(f"{folder}/", f"{plan.source}: ")
    return InputError(message) if message and message != str(result) else result


@contextlib.contextmanager
def _scratch(plan: Plan) -> Iterator[tuple[pathlib.Path, AnyPath]]:
    """A folder of this machine, and one beside the shards; the same where the shard set is local."""
    local = None if isinstance(plan.folder, RemotePath) else plan.folder
    with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=local) as name:
        here = pathlib.Path(name)
        if local is not None:
            yield here, here
            return
        landing = plan.folder / here.name
        landing.mkdir(parents=True, exist_ok=True)
        try:
            yield here, landing
        finally:
            remove_tree(landing)


def _job(plan: Plan, recording: Recording, *, made_from: str) -> preparer.Job:
    return preparer.Job(
        name=recording.name,
        audio=recording.audio,
        score=recording.score,
        split=recording.split,
        label_source=recording.label_source,
        folder=plan.folder,
        spec=plan.spec,
        max_bad_labels=plan.max_bad_labels,
        made_from=made_from,
        max_audio_sec=limits.current().audio_sec,
    )


def _set_up_worker() -> None:
    """In a worker: the workers share the cores, so each computes on one."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _say_alignment(entry: RecordingEntry) -> None:
    for warning in entry.alignment["warnings"]:
        logging.warning("%s: %s", entry.name, warning)
    if any(entry.label_counts.values()):
        logging.warning(
            "%s: %d notes outlast the audio and were cut, %d begin after its end and were dropped",
            entry.name,
            entry.label_counts["cut"],
            entry.label_counts["dropped"],
        )


# --- going on where a stopped preparation was


def _plan_text(plan: Plan) -> str:
    """What must be the same for a stopped preparation to go on."""
    fields = {
        "instrument": plan.instrument,
        "source": str(absolute(plan.source)),
        "validation_share": plan.validation_share,
        "window_frames": plan.window_frames,
        "part": plan.part,
    }
    return json.dumps(fields, indent=1, sort_keys=True) + "\n"


def _require_same_plan(plan: Plan) -> None:
    """Raises InputError unless the folder was begun with this spec and plan."""
    theirs = FeatureSpec.read(plan.folder)
    require_same(plan.spec, theirs, our_place="these flags", their_place=str(plan.folder))
    try:
        same = read_small(plan.folder / _PLAN_NAME).decode("utf-8") == _plan_text(plan)
    except (OSError, UnicodeDecodeError):
        same = False
    if not same:
        raise InputError(
            f"{plan.folder}: holds another preparation (see {_PLAN_NAME} there); give another --out, or delete that folder"
        )


def _make_folder(folder: AnyPath) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{folder}: is in the way of the shard set; give another --out") from error


def _only_preparation_in(folder: AnyPath) -> contextlib.AbstractContextManager:
    """Keeps a folder to one preparation at a time; URLs have no locks."""
    if isinstance(folder, RemotePath):
        return contextlib.nullcontext()
    return held(folder, taken=f"{folder}: another preparation is running there; wait for it, or give another --out")


def _claim_folder(plan: Plan) -> None:
    """Makes the folder ready: new, or one that the same plan began."""
    if (plan.folder / spec_room.FILE_NAME).exists():
        _require_same_plan(plan)
        # A killed run could not remove its own.
        for scratch in plan.folder.glob(f"{_SCRATCH_PREFIX}*"):
            remove_tree(scratch)
        return
    if any(path.name not in _FIRST_FILES for path in plan.folder.iterdir()):
        raise InputError(f"{plan.folder}: not empty, and not a shard set; give another --out")
    write_whole(plan.folder / _PLAN_NAME, _plan_text(plan))
    write_whole(plan.folder / spec_room.FILE_NAME, plan.spec.to_json())


def _made_from(plan: Plan, corpus: Corpus, name: str) -> str:
    """Tells a recording's source and settings from changed ones: SHA-256 over sizes, times and split."""
    facts = [corpus.split_of(name), repr(plan.max_bad_labels)]
    for path in corpus.source_files(name):
        status = path.stat()
        facts += [path.name, str(status.st_size), str(status.st_mtime_ns)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _remember_left_out(folder: AnyPath, made_from: Mapping[str, str]) -> None:
    """Writes what was refused, and what it was made from; nothing where nothing was."""
    if made_from:
        write_whole(folder / _LEFT_OUT_NAME, json.dumps(made_from, indent=1) + "\n")
    else:
        (folder / _LEFT_OUT_NAME).unlink(missing_ok=True)


def _left_out(folder: AnyPath) -> dict[str, str]:
    """What `_remember_left_out` wrote; nothing where there is none."""
    try:
        return dict(json.loads(read_small(folder / _LEFT_OUT_NAME)))
    except (OSError, ValueError, TypeError):
        return {}


def _source_changed(plan: Plan, corpus: Corpus, manifest: Manifest) -> bool:
    """Whether a finished set differs from what its source is now."""
    names = {entry.name for entry in manifest.recordings}
    known = _left_out(plan.folder)
    return (
        not names <= set(corpus.names)
        # Compared with what they were, not with the clock: that may have been put back since.
        or any(known.get(name) != _made_from(plan, corpus, name) for name in set(corpus.names) - names)
        or any(_finished_entry(plan, corpus, name) is None for name in names)
    )


def _remove_others(plan: Plan, corpus: Corpus) -> None:
    """Removes what an earlier run made of recordings that the source no longer has."""
    for path in plan.folder.glob(f"*{preparer.ENTRY_SUFFIX}"):
        name = path.name.removesuffix(preparer.ENTRY_SUFFIX)
        if name not in corpus.names:
            path.unlink()
            (plan.folder / f"{name}{preparer.SHARD_SUFFIX}").unlink(missing_ok=True)


def _finished_entry(plan: Plan, corpus: Corpus, name: str) -> RecordingEntry | None:
    """The entry of a recording that an earlier run finished from the same source, if its shard is there whole."""
    path = plan.folder / f"{name}{preparer.ENTRY_SUFFIX}"
    try:
        fields = json.loads(read_small(path))
        if fields.pop(preparer.MADE_FROM) != _made_from(plan, corpus, name):
            return None
        entry = RecordingEntry.from_dict(fields)
        whole = (plan.folder / entry.shard).stat().st_size == entry.size_bytes
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return entry if whole and entry.name == name else None
