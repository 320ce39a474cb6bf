"""What every test stands on: a quiet TensorFlow, no display, fixed seeds."""

import os
import random

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _fixed_seeds():
    """Library code takes its seeds as arguments; this covers what a test draws by itself."""
    random.seed(0)
    np.random.seed(0)
