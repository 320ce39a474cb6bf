"""From tallies to figures: values, intervals, differences, the report as JSON holds it, and its table."""

import dataclasses
import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pnet_tf import __version__, bootstrap
from pnet_tf.evaluation_controls import Candidate
from pnet_tf.metrics import METRICS, Metric
from pnet_tf.metrics_tally import Tallies

FORMAT = 1
# With fewer recordings than this, their segments are resampled instead.
FEWEST_RECORDINGS = 8
_RESAMPLING_SEED = 0
_LIBRARIES = ("librosa", "mir_eval", "numpy", "tensorflow")
_NAME_COLUMNS, _VALUE_COLUMNS = 26, 14


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured on one recording.

    Attributes:
      name: of the recording.
      seconds: that were compared.
      n_notes: that the score has in them.
      tallies: by candidate, for each seed the tallies of the recording's segments.
    """

    name: str
    seconds: float
    n_notes: int
    tallies: Mapping[str, Sequence[Tallies]]


def make_report(
    candidates: Sequence[Candidate],
    measured: Sequence[Measured],
    *,
    asked: Mapping[str, Any],
    resampling: str,
    n_resamples: int,
    segment_sec: float,
    not_compared: Mapping[str, str],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """The report.

    Args:
      candidates: in the order of the table.
      measured: the recordings, at least one.
      asked: the settings, for the record.
      resampling: `recordings`, `segments`, or `auto`: recordings where there are at least `FEWEST_RECORDINGS`.
      n_resamples: 0 for no intervals.
      segment_sec: length of a segment, about.
      not_compared: why, by recording.
      left_out: why, by control.

    Returns:
      What `json.dumps(..., default=str)` takes; None stands for what cannot be measured.
    """
    by_recording = resampling == "recordings" or (resampling == "auto" and len(measured) >= FEWEST_RECORDINGS)
    units = {candidate.name: _units(measured, candidate.name, by_recording=by_recording) for candidate in candidates}
    n_units = len(next(iter(next(iter(units.values()))[0].values())))
    counts = bootstrap.resample_counts(n_units, n_resamples if n_units > 1 else 0, seed=_RESAMPLING_SEED)
    resampled = {name: _resampled(by_seed, counts) for name, by_seed in units.items()}
    return {
        "format": FORMAT,
        "made_with": {"pnet_tf": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "asked": dict(asked),
        "compared": [{"name": one.name, "seconds": round(one.seconds, 3), "n_notes": one.n_notes} for one in measured],
        "not_compared": dict(not_compared),
        "left_out": dict(left_out),
        "resampling": {
            "unit": "recording" if by_recording else f"segment of about {segment_sec:g} s",
            "n_units": n_units,
            "n_resamples": len(counts),
            "share": bootstrap.SHARE,
            "method": "percentile bootstrap, which speaks for other units of these players and this music alone; that of a "
            "Fréchet distance leans upwards",
        },
        "metrics": [
            {"name": metric.name, "label": metric.label, "better": metric.better, "meaning": metric.meaning}
            for metric in METRICS
        ],
        "candidates": [
            {"name": candidate.name, "kind": candidate.kind, "about": candidate.about}
            | _figures(candidate.name, candidates[0].name, units, resampled)
            | {"recordings": {one.name: recording_values(one.tallies[candidate.name]) for one in measured}}
            for candidate in candidates
        ],
    }


def recording_values(by_seed: Sequence[Tallies]) -> dict[str, float | None]:
    """Every metric of one recording, the mean over seeds, by name.

    Args:
      by_seed: for each seed the tallies, float64 [segments, n] each.
    """
    return {metric.name: _number(np.mean(_values(metric, by_seed))) for metric in METRICS}


def _units(measured: Sequence[Measured], name: str, *, by_recording: bool) -> list[Tallies]:
    """For each seed the tallies of a candidate over all recordings, a row for each unit of resampling."""
    keys = measured[0].tallies[name][0].keys()

    def rows(one: Measured, seed: int, key: str) -> np.ndarray:
        """Float64 [units, n]."""
        tally = one.tallies[name][seed][key]
        return tally.sum(axis=0, keepdims=True) if by_recording else tally

    units, first_of = [], {}
    for seed in range(len(measured[0].tallies[name])):
        # Seeds that sound alike share their tallies: what follows from them is computed once.
        alike = first_of.setdefault(tuple(id(one.tallies[name][seed]) for one in measured), seed)
        if alike < seed:
            units.append(units[alike])
        else:
            units.append({key: np.concatenate([rows(one, seed, key) for one in measured]) for key in keys})
    return units


def _values(metric: Metric, by_seed: Sequence[Tallies]) -> np.ndarray:
    """The value of a metric over all units, for each seed: float64 [seeds]."""
    return np.array([metric.value(tallies[metric.tally].sum(axis=0)) for tallies in by_seed], np.float64)


def _resampled(by_seed: Sequence[Tallies], counts: np.ndarray) -> dict[str, np.ndarray]:
    """By metric the mean over seeds of each resample, float64 [resamples]; equal seeds are computed once."""
    distinct = list({id(tallies): tallies for tallies in by_seed}.values())
    weights = [sum(other is tallies for other in by_seed) for tallies in distinct]
    return {
        metric.name: np.average(
            [metric.value(counts @ tallies[metric.tally]) for tallies in distinct], axis=0, weights=weights
        )
        for metric in METRICS
    }


def _figures(
    name: str, first: str, units: Mapping[str, Sequence[Tallies]], resampled: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """Values of a candidate, and how far they lie from the first candidate's."""
    figures: dict[str, Any] = {"values": {}, "against_first": {}}
    for metric in METRICS:
        values = _values(metric, units[name])
        spread = np.std(values, ddof=1) if len(values) > 1 else math.nan
        figures["values"][metric.name] = _with_interval(np.mean(values), resampled[name][metric.name]) | {
            "by_seed": [_number(value) for value in values],
            "seed_deviation": _number(spread),
        }
        if name != first:
            difference = np.mean(values) - np.mean(_values(metric, units[first]))
            # The same resamples for both: what makes a segment hard for one makes it hard for the other.
            paired = resampled[name][metric.name] - resampled[first][metric.name]
            figures["against_first"][metric.name] = _with_interval(difference, paired)
    return figures


def _with_interval(value: float, resampled: np.ndarray) -> dict[str, float | None]:
    low, high = bootstrap.interval(resampled) or (math.nan, math.nan)
    slack = 1e-6 * (1 + abs(value))
    if not low - slack <= value <= high + slack:
        # A distance of distributions grows when units are drawn twice: such an interval would be about something else.
        low = high = math.nan
    return {"value": _number(value), "low": _number(low), "high": _number(high)}


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


# --- the table


def table(report: Mapping[str, Any]) -> list[str]:
    """The lines of the table: a row for each candidate, and its intervals below it."""
    metrics = report["metrics"]
    lines = [
        f"{'':<{_NAME_COLUMNS}}" + "".join(f"{metric['label']:>{_VALUE_COLUMNS}}" for metric in metrics),
        f"{'nearer is':<{_NAME_COLUMNS}}" + "".join(f"{metric['better']:>{_VALUE_COLUMNS}}" for metric in metrics),
    ]
    for candidate in report["candidates"]:
        values = [candidate["values"][metric["name"]] for metric in metrics]
        lines.append(
            f"{candidate['name'][:_NAME_COLUMNS - 1]:<{_NAME_COLUMNS}}"
            + "".join(f"{show(value['value']):>{_VALUE_COLUMNS}}" for value in values)
        )
        if any(value["low"] is not None for value in values):
            lines.append(
                " " * _NAME_COLUMNS
                + "".join(f"{show(value['low']) + ' ' + show(value['high']):>{_VALUE_COLUMNS}}" for value in values)
            )
    return [*lines, *notes(report)]


def notes(report: Mapping[str, Any]) -> list[str]:
    """What has to be known to read the table, a line each."""
    compared, resampling, asked = report["compared"], report["resampling"], report["asked"]
    minutes = sum(one["seconds"] for one in compared) / 60
    one, seeds = "recording" if len(compared) == 1 else "recordings", ", ".join(map(str, asked["seeds"]))
    lines = [f"{len(compared)} {one} of the {asked['split']} part, {minutes:.1f} min; seeds {seeds}"]
    if asked["split"] == "train":
        lines.append("these recordings were trained on: the figures say nothing about unheard music")
    if resampling["n_resamples"]:
        lines.append(
            f"second lines: {resampling['share']:.0%} intervals from {resampling['n_resamples']} resamples of "
            f"{resampling['n_units']} units, each a {resampling['unit']}"
        )
    else:
        lines.append(f"no intervals: {resampling['n_units']} unit to resample" if asked["resamples"] else "no intervals")
    lines += [f"not compared: {name} ({why})" for name, why in report["not_compared"].items()]
    return lines + [f"without the control {name}: {why}" for name, why in report["left_out"].items()]


def show(value: float | None) -> str:
    """A figure in a table, or a dash."""
    if value is None:
        return "–"
    if abs(value) < 5e-5:
        return "0"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
