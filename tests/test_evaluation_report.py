"""Figures follow from tallies worked out by hand: means over seeds, pooled recordings, intervals, differences."""

import json

import numpy as np
import pytest

from pnet_tf import evaluation_report
from pnet_tf.evaluation_controls import Candidate
from pnet_tf.evaluation_report import Measured
from pnet_tf.metrics_tally import N_MFCC

SIZES = {"multi_scale": 12, "onsets": 3, "level": 6, "mfcc": 1 + 2 * (N_MFCC + N_MFCC**2)}
ASKED = {"split": "test", "seeds": (0, 1), "resamples": 200, "source": "here", "instrument": "violin"}


def tallies(*errors_and_frames):
    """Log-mel tallies as given, a row for each segment; ones for all others."""
    n = len(errors_and_frames)
    ones = {name: np.ones((n, SIZES.get(name, 2))) for name in ("log_mel", "log_spectral", "chroma", "pitch", *SIZES)}
    return ones | {"log_mel": np.array(errors_and_frames, float)}


def candidates(*names):
    return [Candidate(name, "model", f"about {name}", lambda passage, seed: None) for name in names]


def report_of(names, measured, **options):
    settings = {"resampling": "auto", "n_resamples": 200, "segment_sec": 10, "not_compared": {}, "left_out": {}}
    return evaluation_report.make_report(candidates(*names), measured, asked=ASKED, **settings | options)


def figures(report, name, metric="log_mel_error_db", what="values"):
    return next(one for one in report["candidates"] if one["name"] == name)[what][metric]


TWO = [
    Measured("a", 20, 5, {"x": [tallies((10, 10), (30, 10)), tallies((20, 10), (40, 10))], "y": [tallies((0, 10), (20, 10))]}),
    Measured("b", 10, 3, {"x": [tallies((80, 20)), tallies((90, 20))], "y": [tallies((60, 20))]}),
]


def test_values_weigh_every_second_alike_and_are_means_over_seeds():
    report = report_of(["x", "y"], TWO)
    value = figures(report, "x")
    assert value["by_seed"] == [3.0, 3.75]
    assert value["value"] == 3.375
    assert value["seed_deviation"] == pytest.approx(0.75 / 2**0.5, rel=1e-5)
    assert figures(report, "y")["value"] == 2.0 and figures(report, "y")["seed_deviation"] is None
    assert figures(report, "x", "a", "recordings")["log_mel_error_db"] == 2.5
    assert figures(report, "x", "b", "recordings")["log_mel_error_db"] == 4.25


def test_few_recordings_are_resampled_by_segment_and_many_as_a_whole():
    few = report_of(["x", "y"], TWO)["resampling"]
    assert (few["unit"], few["n_units"], few["n_resamples"]) == ("segment of about 10 s", 3, 200)
    many = report_of(["x", "y"], TWO * 4)["resampling"]
    assert (many["unit"], many["n_units"]) == ("recording", 8)
    assert report_of(["x", "y"], TWO, resampling="recordings")["resampling"]["n_units"] == 2
    assert report_of(["x", "y"], TWO * 4, resampling="segments")["resampling"]["n_units"] == 12


def test_intervals_are_of_the_mean_over_seeds():
    """Of two recordings a resample holds one, the other or both."""
    value = figures(report_of(["x", "y"], TWO, resampling="recordings"), "x")
    assert (value["low"], value["high"]) == (2.5, 4.25)


def test_a_difference_has_an_interval_of_its_own():
    """y is better than x by 0.5 and 1 in the segments of a, and by 1.25 in b; what both share is no doubt about that."""
    report = report_of(["x", "y"], TWO, resampling="segments", n_resamples=1000)
    difference = figures(report, "y", what="against_first")
    assert difference["value"] == -1.375
    alone = figures(report, "x")
    assert difference["high"] - difference["low"] < alone["high"] - alone["low"]
    assert difference["high"] < 0
    assert report["candidates"][0]["against_first"] == {}


def test_seeds_that_share_their_tallies_count_as_many_seeds():
    shared, other = tallies((10, 10), (30, 10)), tallies((50, 10), (50, 10))
    twice = [Measured("a", 20, 5, {"x": [shared, shared, other]})]
    copies = [Measured("a", 20, 5, {"x": [shared, dict(shared), other]})]
    assert report_of(["x"], twice)["candidates"] == report_of(["x"], copies)["candidates"]
    assert figures(report_of(["x"], twice), "x")["by_seed"] == [2.0, 2.0, 5.0]


def test_one_unit_and_no_resamples_have_no_interval():
    one = [Measured("a", 5, 2, {"x": [tallies((10, 10))]})]
    report = report_of(["x"], one)
    assert figures(report, "x")["low"] is None and report["resampling"]["n_resamples"] == 0
    assert "no intervals: 1 unit to resample" in evaluation_report.notes(report)
    assert figures(report_of(["x", "y"], TWO, n_resamples=0), "x")["low"] is None


def test_an_interval_that_does_not_hold_its_value_is_none():
    assert evaluation_report._with_interval(1.0, np.linspace(0, 2, 99))["low"] == pytest.approx(0.05)
    assert evaluation_report._with_interval(1.0, np.linspace(2, 3, 99)) == {"value": 1.0, "low": None, "high": None}
    assert evaluation_report._with_interval(1e-11, np.full(99, 1e-9))["high"] == 1e-9


def test_what_cannot_be_measured_is_none_and_the_report_is_json():
    """A single frame has no covariance."""
    report = report_of(["x", "y"], TWO, left_out={"soundfont": "none here"}, not_compared={"c": "damaged"})
    level = figures(report, "x", "loudness_correlation")
    assert level["value"] is None and level["low"] is None
    again = json.loads(json.dumps(report, allow_nan=False, default=str))
    assert again["compared"][1] == {"name": "b", "seconds": 10, "n_notes": 3}


def test_the_table_has_a_row_for_each_and_says_what_it_is_about():
    report = report_of(["x", "y"], TWO, left_out={"soundfont": "none here"}, not_compared={"c": "damaged"})
    lines = evaluation_report.table(report)
    assert lines[0].split()[:2] == ["log-mel", "dB"]
    assert lines[1].split()[:3] == ["nearer", "is", "lower"]
    assert lines[2].split()[:2] == ["x", "3.375"]
    assert lines[3].startswith(" ") and lines[4].split()[:2] == ["y", "2.000"]
    assert len({len(line) for line in lines[:6]}) == 1
    assert lines[6] == "2 recordings of the test part, 0.5 min; seeds 0, 1"
    assert "each a segment of about 10 s" in lines[7]
    assert lines[8:] == ["not compared: c (damaged)", "without the control soundfont: none here"]


def test_figures_of_what_was_trained_on_say_so():
    report = report_of(["x", "y"], TWO)
    report["asked"]["split"] = "train"
    assert any("trained on" in line for line in evaluation_report.notes(report))


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (1e-9, "0"), (-1e-9, "0"), (0.12345, "0.123"), (12.345, "12.3")])
def test_a_figure_is_short(value, text):
    assert evaluation_report.show(value) == text
