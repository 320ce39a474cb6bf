"""How `bench` measures: one figure, one call's seconds, and two calls that take turns."""

import dataclasses
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
      name: what was measured.
      value: its median.
      unit: of the value.
    """

    name: str
    value: float
    unit: str


def seconds_of(work: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def take_turns(work: Callable[[], object], peer: Callable[[], object], *, rounds: int) -> tuple[float, float, float]:
    """Median seconds of two calls that take turns, and the median of their ratios; one round before counts nothing."""
    work(), peer()
    pairs = [(seconds_of(work), seconds_of(peer)) for _ in range(rounds)]
    return (
        statistics.median(ours for ours, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(ours / theirs for ours, theirs in pairs),
    )
