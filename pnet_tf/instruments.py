"""The instruments, one line each: what a corpus calls them, and the lowest and highest MIDI pitch they can play.

A new instrument begins with a line in `INSTRUMENTS`; preparing, training, performing and measuring take it from here.
"""

import dataclasses
import types
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Instrument:
    """An instrument that plays alone.

    Attributes:
      musicnet_id: of MusicNet's labels, General MIDI program + 1 where programs are counted from 0.
      lowest: sounding MIDI pitch of the lowest string or fingering.
      highest: sounding MIDI pitch that orchestral parts ask for at most; beyond it a performance is warned about.
    """

    musicnet_id: int
    lowest: int
    highest: int


INSTRUMENTS: Mapping[str, Instrument] = types.MappingProxyType(
    {
        "bassoon": Instrument(71, 34, 77),
        "cello": Instrument(43, 36, 84),
        "clarinet": Instrument(72, 50, 94),
        "contrabass": Instrument(44, 28, 67),
        "flute": Instrument(74, 60, 98),
        "french horn": Instrument(61, 34, 77),
        "harpsichord": Instrument(7, 29, 89),
        "oboe": Instrument(69, 58, 93),
        "piano": Instrument(1, 21, 108),
        "viola": Instrument(42, 48, 91),
        "violin": Instrument(41, 55, 103),
    }
)

RANGES: Mapping[str, tuple[int, int]] = types.MappingProxyType(
    {name: (instrument.lowest, instrument.highest) for name, instrument in INSTRUMENTS.items()}
)
MUSICNET_IDS: Mapping[str, int] = types.MappingProxyType(
    {name: instrument.musicnet_id for name, instrument in INSTRUMENTS.items()}
)
