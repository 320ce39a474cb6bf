"""Recordings prepared on Apache Beam: options to a runner, jobs to a pipeline, and what came of each.

Beam carries the path of a job and nothing else. Job files lie in a scratch folder of the shard set, and finished
recordings and refusals come back as files, so that a pipeline is small, and what it finished before it failed is kept.
"""

import contextlib
import io
import json
import logging as stdlib_logging
import pathlib
import re
import traceback
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from absl import logging

from pnet_tf import preparer, preparer_remote
from pnet_tf.errors import InputError, UsageError
from pnet_tf.files import write_whole
from pnet_tf.remote import AnyPath, absolute, path_of
from pnet_tf.shard_set import RecordingEntry

if TYPE_CHECKING:
    import apache_beam as beam

RUNNERS = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner", "PrismRunner")
_JOB_SUFFIX = ".job.json"
_REFUSAL_SUFFIX = ".refusal.json"
_WORKER_LINE = re.compile(r"WorkerPlaceError: (.+)")


class WorkerPlaceError(RuntimeError):
    """A worker cannot read the source or write the shards; the one line of it is found again in a runner's long report."""


def require_runner(runner: str) -> str:
    """The runner's name as `RUNNERS` has it, whatever its case.

    Raises:
      UsageError: it is none of them.
    """
    for name in RUNNERS:
        if runner.lower() in (name.lower(), name.lower().removesuffix("runner")):
            return name
    raise UsageError(f"--runner={runner}: expected one of {', '.join(RUNNERS)}, or none for the processes of this machine")


def require_options(runner: str, options: Sequence[str]) -> None:
    """Checks the options of a runner before anything is written.

    Args:
      runner: a name of `RUNNERS`.
      options: as Beam writes them, `--flink_master=host:8081` for one.

    Raises:
      UsageError: Beam has no such option, or not with such a value.
      InputError: Beam is not installed.
    """
    _import_beam()
    from apache_beam.options import pipeline_options

    for option in options:
        if not option.startswith("--") or option.partition("=")[0] in ("--", "--runner"):
            raise UsageError(
                f"--runner_options={option}: expected an option as Beam writes it, such as --runner_options=--parallelism=8"
            )
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            unknown = _unknown_options(pipeline_options, options)
            _new_pipeline(runner, options)
        except SystemExit as error:
            reason = said.getvalue().strip().rpartition("error: ")[2]
            raise UsageError(f"--runner_options: Beam refuses them ({reason})") from error
        except ValueError as error:
            raise UsageError(f"--runner={runner}: {_joined(str(error))} (give them as --runner_options)") from error
    if unknown:
        raise UsageError(f"--runner_options={unknown[0]}: no option that Beam for Python has, see its documents of {runner}")


def _unknown_options(pipeline_options: types.ModuleType, options: Sequence[str]) -> list[str]:
    """The options that no part of Beam knows; Beam itself would log them and go on."""
    parser = pipeline_options._BeamArgumentParser(allow_abbrev=False)
    for kind in pipeline_options.PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    return parser.parse_known_args(list(options))[1]


def run_on_beam(
    jobs: Iterable[preparer.Job], *, runner: str, options: Sequence[str], scratch: AnyPath
) -> Iterator[tuple[preparer.Job, RecordingEntry | InputError]]:
    """Prepares recordings in one pipeline, and gives back what came of each when it has ended.

    Args:
      jobs: all are written down before the first is begun, so their audio must be there until the end.
      runner: a name of `RUNNERS`.
      options: what `require_options` accepts.
      scratch: a folder in that of the shard set, which the workers see under the same path.

    Yields:
      The job, and its entry or what is wrong with it.

    Raises:
      InputError: the pipeline ended in error; what was finished before is kept.
    """
    written = []
    for job in jobs:
        errand = preparer_remote.Errand(job, landing=scratch, base=pathlib.Path.cwd())
        with _file_of(scratch, job.name, _JOB_SUFFIX).open("wb") as file:
            file.write(errand.to_json().encode())
        written.append(job)
    logging.info("%d recordings go to %s", len(written), runner)
    _run_pipeline([str(absolute(_file_of(scratch, job.name, _JOB_SUFFIX))) for job in written], runner, options)
    for job in written:
        yield job, _result_of(job, scratch)


def do_written_errand(path: str) -> None:
    """In a worker: does one errand, and writes down a refusal; any other failure is the runner's to try again.

    Args:
      path: of the job file.

    Raises:
      WorkerPlaceError: something cannot be read or written.
    """
    file = path_of(path)
    try:
        errand = preparer_remote.Errand.from_json(file.read_bytes(), where=path)
    except OSError as error:
        raise WorkerPlaceError(f"a worker cannot read {path}: --source and --out must be where every worker sees them") from error
    try:
        preparer_remote.do_errand(errand)
        logging.info("%s: prepared", errand.job.name)
    except InputError as error:
        write_whole(_file_of(file.parent, errand.job.name, _REFUSAL_SUFFIX), json.dumps(str(error)))
    except (OSError, tf.errors.OpError) as error:
        raise WorkerPlaceError(f"{errand.job.name}: {_joined(str(error))}") from error


def _new_pipeline(runner: str, options: Sequence[str]) -> "beam.Pipeline":
    from apache_beam.options.pipeline_options import PipelineOptions

    return _import_beam().Pipeline(runner=_runner_of(runner), options=PipelineOptions(list(options)))


def _run_pipeline(paths: Sequence[str], runner: str, options: Sequence[str]) -> None:
    """Runs one pipeline to its end.

    Raises:
      InputError: the runner cannot be reached, or ended without having done all of it.
    """
    beam = _import_beam()
    import grpc
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException

    failures = (RuntimeError, OSError, ImportError, grpc.RpcError, grpc.FutureTimeoutError, DataflowRuntimeException)
    pipeline = _new_pipeline(runner, options)
    # Without the reshuffle a runner may fuse all of it into one worker's work.
    _ = pipeline | beam.Create(paths) | beam.Reshuffle() | "Prepare" >> beam.Map(do_written_errand)
    try:
        with _quiet(runner):
            state = _state_at_the_end(pipeline.run())
    except failures as error:
        if str(error).startswith(f"{KeyboardInterrupt.__name__} [while running"):
            # What Beam makes of Ctrl-C in the midst of a recording.
            raise KeyboardInterrupt from error
        if (reason := _reason_of(error)) is None:
            raise
        raise InputError(f"{runner}: {reason}; what was finished is kept, run again to go on") from error
    if state != beam.runners.runner.PipelineState.DONE:
        raise InputError(f"{runner}: the pipeline ended as {state}; what was finished is kept, run again to go on")


def _state_at_the_end(result: Any) -> str:
    try:
        return result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()
        raise


@contextlib.contextmanager
def _quiet(runner: str) -> Iterator[None]:
    """In this process Beam would log the traceback of every error that it raises as well."""
    logger = stdlib_logging.getLogger("apache_beam")
    level = logger.level
    if runner == "DirectRunner":
        logger.setLevel(stdlib_logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason_of(error: Exception) -> str | None:
    """Why a pipeline failed, in one line; None for a fault of this package, whose traceback is wanted."""
    text = str(error) if isinstance(error, WorkerPlaceError) else "".join(_WORKER_LINE.findall(str(error))[-1:])
    if text:
        return _joined(text.partition(" [while running")[0])
    frames = (frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__))
    if do_written_errand.__name__ in frames or f"in {do_written_errand.__name__}\n" in str(error):
        return None
    return _joined(str(error)) or f"no answer ({type(error).__name__})"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _runner_of(name: str) -> Any:
    """What Beam runs a pipeline on.

    Beam's own DirectRunner first tries Prism, a program that it downloads; the runner that it falls back to is Python.
    """
    if name == "DirectRunner":
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        return FnApiRunner()
    return name


def _result_of(job: preparer.Job, scratch: AnyPath) -> RecordingEntry | InputError:
    refusal = _file_of(scratch, job.name, _REFUSAL_SUFFIX)
    if refusal.exists():
        return InputError(json.loads(refusal.read_bytes()))
    try:
        fields = json.loads(_file_of(job.folder, job.name, preparer.ENTRY_SUFFIX).read_bytes())
        if fields.pop(preparer.MADE_FROM) == job.made_from:
            return RecordingEntry.from_dict(fields)
    except FileNotFoundError:
        pass
    return InputError("its worker left neither a shard nor a reason; run again")


def _file_of(folder: AnyPath, name: str, suffix: str) -> AnyPath:
    return folder / f"{name}{suffix}"


def _import_beam() -> types.ModuleType:
    # A part of it that this package does not use says so on the root logger.
    root = stdlib_logging.getLogger()
    root.addFilter(_is_not_about_bigquery)
    try:
        import apache_beam
    except ImportError as error:
        raise InputError(f'--runner needs Apache Beam ({error}): pip install "pnet_tf[beam]"') from error
    finally:
        root.removeFilter(_is_not_about_bigquery)
    return apache_beam


def _is_not_about_bigquery(record: stdlib_logging.LogRecord) -> bool:
    return "bigquery client libraries are not available" not in record.getMessage()
