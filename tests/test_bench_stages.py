"""What the bench measures is what it says: the memory, since its last reset."""

import numpy as np

from pnet_tf import bench_stages


def test_memory_is_measured_from_the_last_reset():
    before = bench_stages._peak_memory_mb(reset=True)
    block = np.ones(64 * 2**20 // 8)
    grown = bench_stages._peak_memory_mb() - before
    assert 50 < grown < 120 and block.sum() > 0
