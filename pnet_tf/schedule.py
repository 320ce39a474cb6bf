"""How fast is learnt, and how long: warm-up, plateau and cosine schedule, early stopping, in numbers that a checkpoint holds."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Plateau:
    """The state of a plateau schedule; lower losses are better.

    Attributes:
      learning_rate: in force.
      best_loss: lowest validation loss so far.
      n_bad: validations since the best one, or since the rate last fell.
      n_since_best: validations since the best one.
    """

    learning_rate: float
    best_loss: float = math.inf
    n_bad: int = 0
    n_since_best: int = 0

    def after(self, loss: float, *, patience: int, factor: float, min_learning_rate: float) -> "Plateau":
        """The state after one more validation.

        Args:
          loss: the validation loss.
          patience: validations without a new best that are borne before the rate falls.
          factor: what the rate is multiplied with.
          min_learning_rate: the rate falls no lower.

        Source: behaves as PyTorch's `ReduceLROnPlateau` with threshold 0; tests/test_schedule.py.
        """
        if loss < self.best_loss:
            return dataclasses.replace(self, best_loss=loss, n_bad=0, n_since_best=0)
        waited = dataclasses.replace(self, n_since_best=self.n_since_best + 1)
        if self.n_bad < patience:
            return dataclasses.replace(waited, n_bad=self.n_bad + 1)
        rate = max(self.learning_rate * factor, min(min_learning_rate, self.learning_rate))
        return dataclasses.replace(waited, learning_rate=rate, n_bad=0)


def warmed_up(learning_rate: float, *, step: int, warmup_steps: int) -> float:
    """The rate of step `step`, counted from 0: it rises in equal parts and is whole in step `warmup_steps - 1`."""
    return learning_rate * min(1.0, (step + 1) / max(1, warmup_steps))


def annealed(learning_rate: float, *, step: int, last_step: int) -> float:
    """The rate of step `step`, counted from 0, of `last_step` steps: half a cosine, whole at first and next to 0 at the end.

    Source: Loshchilov & Hutter, SGDR (ICLR 2017), without restarts.
    """
    return learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / last_step)))
