"""What instruments can play: the lowest and the highest MIDI pitch, for warnings."""

import types
from collections.abc import Mapping

# Sounding pitch, from the lowest string or fingering to what orchestral parts ask for at most.
RANGES: Mapping[str, tuple[int, int]] = types.MappingProxyType(
    {
        "bassoon": (34, 77),
        "cello": (36, 84),
        "clarinet": (50, 94),
        "contrabass": (28, 67),
        "flute": (60, 98),
        "french horn": (34, 77),
        "harpsichord": (29, 89),
        "oboe": (58, 93),
        "piano": (21, 108),
        "viola": (48, 91),
        "violin": (55, 103),
    }
)
