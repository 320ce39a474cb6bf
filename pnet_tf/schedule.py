"""When the learning rate falls: the plateau schedule, as plain numbers that a checkpoint can hold."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Plateau:
    """The state of a plateau schedule; lower losses are better.

    Attributes:
      learning_rate: in force.
      best_loss: lowest validation loss so far.
      n_bad: validations since the best one, or since the rate last fell.
    """

    learning_rate: float
    best_loss: float = math.inf
    n_bad: int = 0

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
            return dataclasses.replace(self, best_loss=loss, n_bad=0)
        if self.n_bad < patience:
            return dataclasses.replace(self, n_bad=self.n_bad + 1)
        rate = max(self.learning_rate * factor, min(min_learning_rate, self.learning_rate))
        return dataclasses.replace(self, learning_rate=rate, n_bad=0)
