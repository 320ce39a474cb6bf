"""The plateau schedule against a table worked out by hand from PyTorch's documentation of `ReduceLROnPlateau`."""

import dataclasses
import math

import pytest

from pnet_tf.schedule import Plateau, annealed, warmed_up

# threshold=0, patience=2, factor=0.5, min_lr=0.3: the third validation in a row without a new best halves the rate.
# loss, then rate, best loss and validations without a new best after it: since the rate fell, and at all
TABLE = [
    (5.0, 1.0, 5.0, 0, 0),
    (4.0, 1.0, 4.0, 0, 0),
    (4.0, 1.0, 4.0, 1, 1),  # equal is no new best
    (4.5, 1.0, 4.0, 2, 2),
    (3.9, 1.0, 3.9, 0, 0),  # a new best forgives
    (4.0, 1.0, 3.9, 1, 1),
    (4.0, 1.0, 3.9, 2, 2),
    (4.0, 0.5, 3.9, 0, 3),
    (4.0, 0.5, 3.9, 1, 4),  # after a fall the count starts again, the best loss stays
    (4.0, 0.5, 3.9, 2, 5),
    (4.0, 0.3, 3.9, 0, 6),  # not below the lowest rate
    (3.0, 0.3, 3.0, 0, 0),  # a new best does not raise the rate again
    (3.1, 0.3, 3.0, 1, 1),
    (3.1, 0.3, 3.0, 2, 2),
    (3.1, 0.3, 3.0, 0, 3),
]
RULES = {"patience": 2, "factor": 0.5, "min_learning_rate": 0.3}


def test_it_falls_as_the_table_says():
    state, seen = Plateau(1.0), []
    for loss, *_ in TABLE:
        state = state.after(loss, **RULES)
        seen.append((loss, *dataclasses.astuple(state)))
    assert seen == TABLE


def test_without_patience_every_validation_without_a_new_best_lowers_the_rate():
    state = Plateau(1.0).after(1.0, **{**RULES, "patience": 0})
    assert state.learning_rate == 1.0
    assert state.after(1.0, **{**RULES, "patience": 0}) == Plateau(0.5, 1.0, 0, 1)


def test_a_rate_that_starts_below_the_lowest_is_never_raised():
    state = Plateau(0.1, best_loss=1.0, n_bad=2)
    assert state.after(2.0, **RULES) == Plateau(0.1, 1.0, 0, 1)


def test_a_loss_that_is_no_number_is_no_new_best():
    assert Plateau(1.0, best_loss=2.0).after(math.nan, **RULES) == Plateau(1.0, 2.0, 1, 1)


def test_its_state_lives_through_plain_numbers():
    state = Plateau(0.25, 3.5, 1, 4)
    assert Plateau(**dataclasses.asdict(state)).after(4.0, **RULES) == Plateau(0.25, 3.5, 2, 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.n_bad = 0


def test_the_rate_rises_evenly_and_stays():
    rates = [warmed_up(0.8, step=step, warmup_steps=4) for step in range(6)]
    assert rates == [pytest.approx(rate) for rate in (0.2, 0.4, 0.6, 0.8, 0.8, 0.8)]
    assert [warmed_up(0.8, step=step, warmup_steps=0) for step in (0, 1)] == [0.8, 0.8]


def test_half_a_cosine_is_whole_at_first_half_in_the_middle_and_nothing_at_the_end():
    rates = [annealed(0.8, step=step, last_step=6) for step in range(8)]
    sixth = 0.4 * 3**0.5 / 2
    assert rates == [pytest.approx(rate) for rate in (0.8, 0.4 + sixth, 0.6, 0.4, 0.2, 0.4 - sixth, 0.0, 0.0)]


def test_a_training_follows_the_cosine_whatever_its_validations_say(tiny_shards, tiny_flags, tmp_path, monkeypatch):
    """With no patience each of these validations would lower the rate. With more steps it goes on along the curve of those."""
    from pnet_tf import command, train
    from pnet_tf.validation import Validation
    from tests.event_files import curves

    losses = iter(float(k) for k in range(1, 100))
    monkeypatch.setattr(Validation, "loss", lambda self, *, go_on: next(losses))
    flags = [*tiny_flags, f"--data={tiny_shards}", f"--run_dir={tmp_path / 'run'}", "--schedule=cosine", "--plateau_patience=0"]
    flags += ["--warmup_steps=2", "--learning_rate=1e-3", "--log_every=1", "--pictures=0", "--checkpoint_minutes=0"]
    assert command.run(train.define_flags, train.main, [*flags, "--steps=6"]) == 0
    found = curves(tmp_path / "run")["learning_rate"]
    share = {1: 0.5}  # of the warm-up
    expected = {k: share.get(k, 1) * 1e-3 * 0.5 * (1 + math.cos(math.pi * (k - 1) / 6)) for k in range(1, 7)}
    assert found == {k: pytest.approx(rate, rel=1e-5) for k, rate in expected.items()}
    assert command.run(train.define_flags, train.main, [*flags, "--steps=8"]) == 0
    later = curves(tmp_path / "run")["learning_rate"]
    assert later[7] == pytest.approx(1e-3 * 0.5 * (1 + math.cos(math.pi * 6 / 8)), rel=1e-5)
