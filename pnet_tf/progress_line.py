"""The one line in the terminal that a training is followed by: steps, loss, speed, time left."""

import sys
from typing import Self

import tqdm

_SECONDS_BETWEEN_LOGGED_LINES = 30.0


class ProgressLine:
    """A tqdm bar; in a log file, where it cannot be drawn over, a line every half minute."""

    def __init__(self, step: int, last_step: int, *, is_shown: bool) -> None:
        """Begins at `step` of `last_step`; nothing is written where it is not shown."""
        self._values: dict[str, str] = {}
        self._bar = tqdm.tqdm(
            initial=step,
            total=last_step,
            unit="step",
            desc="training",
            smoothing=0.05,
            disable=not is_shown,
            mininterval=0.1 if sys.stderr.isatty() else _SECONDS_BETWEEN_LOGGED_LINES,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._bar.close()

    def step(self, loss: float) -> None:
        """One more step, with its loss."""
        self._values["loss"] = f"{loss:.4f}"
        self._bar.set_postfix(self._values, refresh=False)
        self._bar.update()

    def speed(self, windows_per_second: float) -> None:
        """The speed from now on."""
        self._values["windows/s"] = f"{windows_per_second:.1f}"
