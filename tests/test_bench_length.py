"""Long scores and joins as the bench measures them, on the smallest voice."""

import types
from fractions import Fraction

import numpy as np
import pytest

from pnet_tf import bench_length, render, savedmodel
from pnet_tf.score import Note, score_from_notes


def flags_of(tiny_model, **values):
    return types.SimpleNamespace(**{"model": str(tiny_model), "score": None, "iterations": 1, "width": None} | values)


def test_a_score_is_repeated_until_it_is_long_enough_and_no_longer():
    score = score_from_notes("x", [Note(Fraction(0), Fraction(1), 60), Note(Fraction(1), Fraction(3, 2), 62)])
    notes = bench_length._repeated(score, 4).notes
    assert [(note.start_sec, note.pitch) for note in notes] == [
        (Fraction(0), 60), (Fraction(1), 62), (Fraction(3, 2), 60), (Fraction(5, 2), 62), (Fraction(3), 60),
    ]  # fmt: skip
    assert bench_length._repeated(score, 1).notes == score.notes[:1]


def test_steps_of_joins_are_what_the_shares_alone_change(tiny_model, monkeypatch):
    """Window k draws a level of 3 k dB: in 50 ms of a fade of 368 frames 0.12 dB at most."""
    voice = savedmodel.open_voice(tiny_model)
    score = score_from_notes("x", [Note(Fraction(k), Fraction(k + 1), 60) for k in range(12)])
    piece = render.Piece(score, voice)
    levels = iter(np.full((864, 4), 8 + 0.3 * np.log(10) * k, np.float32) for k in range(3))
    monkeypatch.setattr(piece, "drawn_windows", lambda starts, length: levels)
    steps, apart = bench_length._window_steps_db(piece, np.array([0, 432, 864]), 864)
    np.testing.assert_allclose(apart, 3.0, atol=0.02)
    assert 0.09 < steps.max() < 0.12


def test_joins_are_measured(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_length.bench_made_up, "made_up_score", lambda seconds: score_from_notes(
        "x", [Note(Fraction(k, 4), Fraction(k + 1, 4), 60 + k % 12) for k in range(32)]
    ))  # fmt: skip
    figures = {figure.name: figure.value for figure in bench_length.measure_joins(flags_of(tiny_model), tmp_path)}
    assert figures["windows"] > 10
    assert all(np.isfinite(value) and value >= 0 for value in figures.values())


@pytest.mark.slow
def test_memory_does_not_grow_with_a_score(tiny_model, tmp_path):
    figures = bench_length.measure_length(flags_of(tiny_model, minutes=20), tmp_path)
    assert figures[-1].name.startswith("peak memory /")
    assert figures[-1].value < 1.2
    assert figures[2].value < 0.3
