"""Scores to files: one model load, each score read, moved, checked against the voice, performed, written and drawn."""

import contextlib
import ctypes
import dataclasses
import pathlib
from collections.abc import Sequence

import tqdm
from absl import logging

from pnet_tf import panels, perform_fit, perform_sound, picture, render, runtimes
from pnet_tf.errors import InputError
from pnet_tf.perform_plan import Task
from pnet_tf.score import Score, read_score
from pnet_tf.voice import Voice

# Scores whose errors are told one by one.
_MOST_REPORTED = 20


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to perform; fields as the flags of `perform`; `semitones` None for `--transpose=auto`, `loudness_lufs` for none."""

    sound: render.Settings = render.Settings()
    loudness_lufs: float | None = perform_sound.LOUDNESS_LUFS
    tempo: float = 1.0
    semitones: int | None = 0
    part: str | None = None


def perform_tasks(
    tasks: Sequence[Task], model: str, settings: Settings, *, first: Score | None = None, runtime: str = "auto"
) -> list[InputError]:
    """Performs scores with one voice.

    Args:
      tasks: scores, and where their sound and pictures go.
      model: folder of a SavedModel or of a voice, or the name of a shipped voice.
      settings: how to perform.
      first: the score of the first task, where it has been read already.
      runtime: as in `runtimes.open_voice`.

    Returns:
      What was wrong with the scores that could not be performed; each is logged too where there are several.

    Raises:
      InputError: the model cannot be used.
    """
    voice = runtimes.open_voice(model, runtime=runtime)
    failures = []
    for index, task in enumerate(tqdm.tqdm(tasks, unit="score", disable=len(tasks) == 1)):
        try:
            score = first if first is not None and index == 0 else read_score(task.score, part=settings.part)
            perform_task(task, score, voice, settings)
        except InputError as error:
            failures.append(error)
            if len(tasks) > 1:
                _report(error, len(failures))
        _give_memory_back()
    return failures


def _report(error: InputError, n_failures: int) -> None:
    """Says what is wrong with one of several scores, until so many are that nobody would read on."""
    if n_failures <= _MOST_REPORTED:
        logging.error("%s", error)
    elif n_failures == _MOST_REPORTED + 1:
        logging.error("further scores that cannot be performed are counted only")


def _give_memory_back() -> None:
    """Lets glibc return what it keeps of freed memory: 60 MB more after 200 scores; other systems are left alone."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def perform_task(task: Task, score: Score, voice: Voice, settings: Settings) -> None:
    """Performs one score and writes what the task names.

    Raises:
      InputError: the score cannot be performed, or a file cannot be written.
    """
    moved = fit_to_voice(score, voice, settings)
    piece = render.Piece(moved, voice)
    if task.plot is not None:
        _make_folder(task.plot)
    seconds = piece.n_samples / voice.spec.sample_rate_hz
    with tqdm.tqdm(total=piece.n_samples, desc=moved.name, leave=False, disable=None, unit_scale=True, unit=" samples") as bar:
        written = perform_sound.write_performance(
            piece,
            voice,
            task.out,
            settings=settings.sound,
            loudness_lufs=settings.loudness_lufs,
            keep_beginning=task.plot is not None,
            progress=bar.update,
        )
    logging.info("%s: %.1f s of %s, %s", task.out, seconds, voice.instrument, _loudness(written.mastered.lufs))
    if task.plot is not None:
        title = f"{moved.name}, {voice.instrument}"
        draw_written(task.plot, written, score=moved, voice=voice, total_sec=seconds, title=title)
        logging.info("%s: its picture", task.plot)


def draw_written(
    path: pathlib.Path, written: perform_sound.Written, *, score: Score, voice: Voice, total_sec: float, title: str
) -> None:
    """The picture of a performance whose beginning was kept, at the level of its file.

    Raises:
      InputError: it cannot be written.
    """
    picture.draw_performance(
        path,
        score=score,
        roll=written.beginning.pianoroll,
        log_power=written.beginning.log_power,
        waveform=written.beginning.waveform * 10 ** (written.mastered.gain_db / 20),
        spec=voice.spec,
        title=title,
        total_sec=total_sec,
    )


def _loudness(lufs: float | None) -> str:
    return "too short or too quiet to have a loudness" if lufs is None else f"{lufs:.1f} LUFS"


def _make_folder(plot: pathlib.Path) -> None:
    try:
        plot.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{plot}: cannot make its folder ({error.strerror}); give another --plot") from error


def fit_to_voice(score: Score, voice: Voice, settings: Settings) -> Score:
    """Transposes and scales a score as asked, and warns of what the voice cannot be expected to play well.

    Raises:
      InputError: no note is left in the roll.
    """
    fit = perform_fit.fit_score(score, voice, semitones=settings.semitones, tempo=settings.tempo)
    if settings.semitones is None:
        logging.info("%s: transposed by %+d semitones (--transpose=auto)", score.name, fit.semitones)
    if fit.n_lost:
        logging.warning(
            "%s: %d of %d notes leave MIDI's pitches when transposed by %+d semitones, and are not played",
            score.name,
            fit.n_lost,
            len(score.notes),
            fit.semitones,
        )
    if fit.outside:
        logging.warning("%s: outside the range of a %s: %s", score.name, voice.instrument, panels.name_pitches(fit.outside))
    if fit.unheard:
        logging.warning("%s: never heard by this voice in training: %s", score.name, panels.name_pitches(fit.unheard))
    return fit.score
