"""Windows cover a piece, share half of themselves, and give way to each other so slowly that no join is heard."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf import windows

LENGTHS = {"n_frames": st.integers(1, 20_000), "window_frames": st.integers(16, 1000)}


@settings(max_examples=200, deadline=None)
@given(**LENGTHS)
def test_windows_cover_a_piece_from_its_first_frame_to_its_last(n_frames, window_frames):
    starts = windows.window_starts(n_frames, window_frames)
    length = min(n_frames, window_frames)
    assert starts[0] == 0
    assert starts[-1] + length == n_frames
    assert (np.diff(starts) > 0).all()
    assert len(starts) == 1 or length == window_frames


@settings(max_examples=200, deadline=None)
@given(**LENGTHS)
def test_neighbours_share_half_a_window(n_frames, window_frames):
    starts = windows.window_starts(n_frames, window_frames)
    # Spread evenly, starts are rounded: to a frame in each direction.
    assert (starts[:-1] + window_frames - starts[1:] >= window_frames // 2 - 1).all()


@settings(max_examples=200, deadline=None)
@given(**LENGTHS)
def test_the_shares_of_the_windows_add_up_to_one_everywhere(n_frames, window_frames):
    starts, length = windows.window_starts(n_frames, window_frames), min(n_frames, window_frames)
    total = np.zeros(n_frames)
    for index, first in enumerate(starts):
        shares = windows.window_shares(starts, index, length)
        assert shares.min() >= -1e-6 and shares.max() <= 1 + 1e-6
        total[first : first + length] += shares
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_frames_at_the_edge_of_a_window_that_has_a_neighbour_take_no_part():
    starts = windows.window_starts(864 + 432, 864)
    assert starts.tolist() == [0, 432]
    first, second = (windows.window_shares(starts, index, 864) for index in range(2))
    np.testing.assert_array_equal(first[: 432 + 32], 1)
    np.testing.assert_array_equal(first[864 - 32 :], 0)
    np.testing.assert_array_equal(second[:32], 0)
    assert second[32] > 0


@settings(max_examples=100, deadline=None)
@given(n_frames=st.integers(1, 400), window_frames=st.integers(16, 90))
def test_joined_windows_are_the_sum_of_their_shares_in_order_and_whole(n_frames, window_frames):
    starts, length = windows.window_starts(n_frames, window_frames), min(n_frames, window_frames)
    drawn = np.random.default_rng(0).normal(size=(len(starts), length, 3)).astype(np.float32)
    expected = np.zeros((n_frames, 3))
    for index, first in enumerate(starts):
        expected[first : first + length] += windows.window_shares(starts, index, length)[:, None] * drawn[index]
    parts = list(windows.join_windows(starts, length, iter(drawn)))
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-5)
    assert len(parts) == len(starts)


def test_windows_that_disagree_are_cross_faded_in_log_power():
    """Window k draws k + 1 everywhere: the mean in the middle of a join is that of the numbers, not of their powers."""
    starts = windows.window_starts(864 + 2 * 432, 864)
    drawn = (np.full((864, 2), index + 1, np.float32) for index in range(3))
    joined = np.concatenate(list(windows.join_windows(starts, 864, drawn)))[:, 0]
    risen = np.sin(np.pi / 2 * (np.arange(368) + 0.5) / 368) ** 2
    expected = np.concatenate([np.ones(464), 1 + risen, np.full(64, 2.0), 2 + risen, np.full(464, 3.0)])
    np.testing.assert_allclose(joined, expected, atol=1e-5)


def test_windows_6_db_apart_make_no_step_in_level():
    """Over 50 ms, 0.15 dB at most; a trained violin's windows disagree by 3 dB about the level in the median."""
    starts = windows.window_starts(20 * 432, 864)
    levels_db = np.random.default_rng(0).choice([0.0, 6.0], len(starts))
    drawn = (np.full((864, 1), 8 + level / 10 * np.log(10), np.float32) for level in levels_db)
    joined_db = 10 / np.log(10) * np.concatenate(list(windows.join_windows(starts, 864, drawn)))[:, 0]
    assert np.ptp(joined_db) > 5.9
    nine_frames = np.convolve(joined_db, np.ones(9) / 9, "valid")
    assert np.abs(nine_frames[9:] - nine_frames[:-9]).max() < 0.3
    assert np.abs(np.diff(joined_db)).max() < 0.03
