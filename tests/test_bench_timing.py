"""Medians by hand, and a round that warms up."""

from pnet_tf import bench_timing


def test_medians_and_ratios_are_taken_pair_by_pair(monkeypatch):
    times = iter([1.0, 2.0, 3.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr(bench_timing, "seconds_of", lambda work: next(times))
    assert bench_timing.take_turns(lambda: None, lambda: None, rounds=3) == (2.0, 2.0, 0.5)


def test_a_warm_up_round_comes_first():
    calls = []
    bench_timing.take_turns(lambda: calls.append("ours"), lambda: calls.append("peer"), rounds=2)
    assert calls == ["ours", "peer"] * 3
