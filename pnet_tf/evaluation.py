"""Performs a corpus's scores with each model and control, and measures each beside the recordings."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tqdm
from absl import logging

from pnet_tf import evaluation_controls as controls
from pnet_tf import evaluation_report, metrics_tally, musicnet, render, savedmodel, soundfont, voice_folder
from pnet_tf.corpus import INSTRUMENTS, Corpus, require_instrument
from pnet_tf.errors import InputError, UsageError
from pnet_tf.evaluation_controls import Candidate
from pnet_tf.evaluation_page import Page
from pnet_tf.evaluation_plan import Plan
from pnet_tf.evaluation_report import Measured
from pnet_tf.evaluation_source import Passage, choose, passages
from pnet_tf.metrics_sound import Sound
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice import Voice


def evaluate(plan: Plan) -> dict:
    """Measures models and controls on recordings.

    Args:
      plan: what to evaluate.

    Returns:
      The report, ready for JSON; see `evaluation_report`.

    Raises:
      InputError: a model, the source, or every recording of it cannot be used.
    """
    voices = open_voices(plan.models)
    instrument = require_instrument(plan.instrument or _common_instrument(voices))
    spec = _common_spec(voices)
    corpus = musicnet.open_corpus(plan.source, instrument, part=plan.part)
    names = choose(corpus, plan.split, plan.recordings)
    candidates = [_model(name, voice, plan.iterations) for name, voice in voices.items()]
    more, left_out = make_controls(plan, corpus, instrument, spec)
    candidates += more
    _require_different_names(candidates)
    with _page(plan) as page:
        measured, not_compared = _measure_all(plan, corpus, names, spec, candidates, page)
        if not measured:
            raise InputError(f"none of {len(names)} recordings can be used: {'; '.join(not_compared.values())}")
        report = evaluation_report.make_report(
            candidates,
            measured,
            asked=dataclasses.asdict(plan) | {"instrument": instrument},
            resampling=plan.resampling,
            n_resamples=plan.resamples,
            segment_sec=plan.segment_sec,
            not_compared=not_compared,
            left_out=left_out,
        )
        if page is not None:
            page.finish(report)
    return report


def _require_different_names(candidates: Sequence[Candidate]) -> None:
    names = [candidate.name for candidate in candidates]
    if same := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--model: {same[0]} is also the name of a control; rename the folder")


def _page(plan: Plan) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if plan.html is None else Page(plan.html, plan.excerpt_sec)


# --- models


def open_voices(models: Sequence[str]) -> dict[str, Voice]:
    """The voices by the names that tables show: the folders' own, or whole paths where two have one name.

    Raises:
      InputError: a model cannot be used.
      UsageError: one is given twice.
    """
    folders = [voice_folder.find_voice(model) for model in models]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("--model: the same model is given twice")
    ends = [folder.resolve().name for folder in folders]
    names = ends if len(set(ends)) == len(ends) else [str(folder) for folder in folders]
    return {name: savedmodel.open_voice(folder) for name, folder in zip(names, folders)}


def _common_instrument(voices: Mapping[str, Voice]) -> str:
    heard = {voice.instrument for voice in voices.values()}
    if len(heard) > 1:
        raise UsageError(f"the models are of several instruments ({', '.join(sorted(heard))}): say which with --instrument")
    return heard.pop()


def _common_spec(voices: Mapping[str, Voice]) -> FeatureSpec:
    """The spec of the first model, which the controls follow too; the others may differ in all but the rate."""
    (first, voice), *others = voices.items()
    for name, other in others:
        if other.spec.sample_rate_hz != voice.spec.sample_rate_hz:
            raise InputError(
                f"{name}: sounds at {other.spec.sample_rate_hz} Hz, {first} at {voice.spec.sample_rate_hz} Hz; "
                "evaluate them apart"
            )
    return voice.spec


def _model(name: str, voice: Voice, iterations: int) -> Candidate:
    about = f"a voice of {voice.instrument}, {iterations} iterations, spec {voice.spec.digest()[:12]}"

    def sound(passage: Passage, seed: int) -> np.ndarray:
        """The score performed: float32 [samples]."""
        return _perform(passage.score, voice, iterations, seed)

    return Candidate(name, "model", about, sound, seeded=True)


def _perform(score: Score, voice: Voice, iterations: int, seed: int) -> np.ndarray:
    """The one place that performs, with loudness left alone: float32 [samples] from the score's second 0."""
    blocks = render.Piece(score, voice).blocks(render.Settings(iterations, seed))
    return np.concatenate([block.waveform for block in blocks])


# --- controls


def make_controls(
    plan: Plan, corpus: Corpus, instrument: str, spec: FeatureSpec
) -> tuple[list[Candidate], dict[str, str]]:
    """The controls asked for, and why others are left out.

    Args:
      plan: says which.
      corpus: its training part teaches the mean spectrum.
      instrument: a name of `INSTRUMENTS`, for the soundfont.
      spec: how the controls compute features.

    Raises:
      InputError: a soundfont that was asked for cannot be used.
    """
    training = sorted(name for name in corpus.names if corpus.split_of(name) == "train")
    makers: dict[str, Callable[[], Candidate]] = {
        "recording": controls.recording,
        "inverted": lambda: controls.inverted(plan.iterations),
        "late": controls.late,
        "tones": controls.tones,
        "mean_spectrum": lambda: controls.mean_spectrum(passages(corpus, training, spec), spec, plan.iterations),
        "soundfont": lambda: _sampler(plan.soundfont, instrument),
    }
    made, left_out = [], {}
    for name in plan.controls:
        try:
            made.append(makers[name]())
        except InputError as error:
            if name == "soundfont" and plan.soundfont is not None:
                raise
            left_out[name] = str(error)
            logging.info("without the control %s: %s", name, error)
    return made, left_out


def _sampler(path: pathlib.Path | None, instrument: str) -> Candidate:
    chosen = path or soundfont.find_soundfont()
    if chosen is None:
        raise InputError("no soundfont found; give one with --soundfont")
    font = soundfont.Soundfont(chosen, INSTRUMENTS[instrument] - 1)

    def sound(passage: Passage, seed: int) -> np.ndarray:
        """The score on the sampler: float32 [samples]."""
        return font.play(passage.score, passage.spec)

    return Candidate(f"soundfont {chosen.stem}", "control", f"{chosen.name}, program {font.program}, FluidSynth", sound)


# --- measuring


def _measure_all(
    plan: Plan,
    corpus: Corpus,
    names: Sequence[str],
    spec: FeatureSpec,
    candidates: Sequence[Candidate],
    page: Page | None,
) -> tuple[list[Measured], dict[str, str]]:
    """What was measured on each recording, and what is wrong with the others."""
    measured, not_compared = [], {}
    for name, passage in tqdm.tqdm(
        passages(corpus, names, spec, seconds=plan.seconds), total=len(names), unit="recording", desc="evaluate"
    ):
        try:
            if isinstance(passage, InputError):
                raise passage
            measures, excerpts = _measure(plan, passage, candidates, page)
        except InputError as error:
            # Compared by all or by none, or the rows of the table would be about different recordings.
            not_compared[name] = str(error)
            logging.error("%s: not compared (%s)", name, error)
            continue
        measured.append(measures)
        if page is not None:  # a page that cannot be written is no fault of the recording
            page.add(measures, passage.score, excerpts, passage.spec)
    return measured, not_compared


def _measure(
    plan: Plan, passage: Passage, candidates: Sequence[Candidate], page: Page | None
) -> tuple[Measured, dict[str, Sound]]:
    """Every candidate beside one recording, and what the page lets hear of each."""
    reference = Sound(passage.waveform, passage.spec)
    n_segments = max(round(reference.seconds / plan.segment_sec), 1)
    tallies, excerpts = {}, {}
    for candidate in candidates:
        by_seed: list[metrics_tally.Tallies] = []
        last: Sound | None = None
        for sound in _sounds(candidate, passage, plan.seeds, reference):
            if last is not None and np.array_equal(sound.waveform, last.waveform):
                by_seed.append(by_seed[-1])
                continue
            by_seed.append(metrics_tally.tally(reference, sound, passage.score, n_segments=n_segments))
            if page is not None and last is None:
                excerpts[candidate.name] = page.excerpt(sound)
            last = sound
        tallies[candidate.name] = by_seed
    return Measured(passage.name, reference.seconds, len(passage.score.notes), tallies), excerpts


def _sounds(
    candidate: Candidate, passage: Passage, seeds: Sequence[int], reference: Sound
) -> Iterator[Sound]:
    """A candidate's sound of a passage, as long as the recording, for each seed where it has any."""
    n_samples = len(passage.waveform)
    for seed in seeds if candidate.seeded else seeds[:1]:
        waveform = candidate.sound(passage, seed)
        if waveform is passage.waveform:
            yield reference
            continue
        if not np.isfinite(waveform).all():
            raise InputError(f"{passage.name}: {candidate.name} makes a sound that is no numbers (NaN or infinite)")
        kept = waveform[:n_samples]
        yield Sound(np.pad(kept, (0, n_samples - len(kept))), passage.spec)
