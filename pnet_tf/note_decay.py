"""How notes begin, last and ring on, as filters over time, and how the spectra of notes take one recording's colour.

For every runtime: NumPy alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Time constants in frames, of what is held and of what is struck; 250 frames are 1.5 s at the default hop.
_HELD, _STRUCK = (4.0, 12.0, 35.0, 100.0, 250.0), (4.0, 12.0, 35.0, 100.0)
# A label may be a few frames early or late.
_BLUR_FRAMES = 4.0
BEFORE, BEHIND = 12, 255  # frames that a filter looks ahead and back
# Weights are log power over this, so that Adam's steps, which suit a convolution, move them far enough.
SCALE = 10.0
LAYER = "note_spectra"
_OWN = ("recording_levels", "recording_held", "recording_struck", "recording_bins")


def held_filters() -> np.ndarray:
    """Filters of the pianoroll, as a correlation has them: float32 [BEHIND + 1 + BEFORE, filters].

    The note itself; the note filling and leaving rooms of several sizes; the note with soft edges. Each sums to 1, less what
    lies beyond its end.
    """
    age = _ages()
    blurred = np.exp(-0.5 * (age / _BLUR_FRAMES) ** 2)
    filters = [age == 0, *(_fading(age, frames) * (1 - np.exp(-1 / frames)) for frames in _HELD), blurred / blurred.sum()]
    return np.stack(filters, axis=1).astype(np.float32)


def struck_filters() -> np.ndarray:
    """Filters of the onsets, float32 [BEHIND + 1 + BEFORE, filters]; each is 1 at the onset and fades."""
    return np.stack([_fading(_ages(), frames) for frames in _STRUCK], axis=1).astype(np.float32)


N_HELD, N_STRUCK = len(_HELD) + 2, len(_STRUCK)


def _ages() -> np.ndarray:
    """How many frames ago each tap of a filter looks, [taps]; a correlation begins with the oldest."""
    return np.arange(BEHIND, -BEFORE - 1, -1)


def _fading(age: np.ndarray, frames: float) -> np.ndarray:
    return np.where(age >= 0, np.exp(-np.maximum(age, 0) / frames), 0.0)


def as_one_recording(
    weights: Mapping[str, np.ndarray], names: Sequence[str], chosen: Sequence[str]
) -> dict[str, np.ndarray]:
    """The weights of a network without recordings that draws what one with them draws of the chosen ones.

    Args:
      weights: float arrays [...] by name of a network whose `ModelConfig.recordings` are `names`.
      names: of the recordings, in order.
      chosen: some of them, a name twice counts once; of several the mean, in log power.

    Returns:
      The arrays of the other network, float [...] by name.
    """
    share = np.isin(names, chosen) / len(set(chosen))
    levels, held, struck, bins = (share @ weights[f"{LAYER}/{name}"].astype(np.float64) for name in _OWN)
    rest = {name: array for name, array in weights.items() if name not in {f"{LAYER}/{own}" for own in _OWN}}
    moved = {f"{LAYER}/background": levels, "bins/bias": bins}
    for kind, decays in (("held", held), ("struck", struck)):
        n_pitches = len(weights[f"{LAYER}/{kind}"]) // len(decays)
        moved[f"{LAYER}/{kind}"] = levels + np.tile(decays, n_pitches)[:, None]
    return rest | {name: (weights[name] + by).astype(weights[name].dtype) for name, by in moved.items()}
