"""What a child that is attacked and its parent share: a file in memory that says which input is being read since when."""

import mmap
import pathlib
import struct
import time

from tests.attack.mutation import MOST_BYTES

# Inputs begun, done, and that did harm; length of the one under way; wall and CPU time at its start; CPU time of the slowest.
_HEAD = struct.Struct("<QQQQddd")
_BYTES = _HEAD.size + MOST_BYTES


class Slot:
    """The shared file; the child writes and the parent reads."""

    def __init__(self, path: pathlib.Path) -> None:
        """Opens the file, made by whoever comes first."""
        if not path.exists():
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)
        self._begun, self._done, self._harmful, _, _, _, self._slowest = self._head()

    def _head(self) -> tuple[int, int, int, int, float, float, float]:
        return _HEAD.unpack_from(self._map)

    def begin(self, data: bytes) -> None:
        """An input is about to be read."""
        self._begun += 1
        self._map[_HEAD.size : _HEAD.size + len(data)] = data
        self._wall, self._cpu = time.monotonic(), time.process_time()
        _HEAD.pack_into(self._map, 0, self._begun, self._done, self._harmful, len(data), self._wall, self._cpu, self._slowest)

    def end(self, *, harmful: bool) -> None:
        """It was read or refused, or did harm that the child could see itself."""
        self._done += 1
        self._harmful += harmful
        self._slowest = max(self._slowest, time.process_time() - self._cpu)
        _HEAD.pack_into(self._map, 0, self._begun, self._done, self._harmful, 0, self._wall, self._cpu, self._slowest)

    @property
    def n_done(self) -> int:
        """Inputs read or refused."""
        return self._head()[1]

    @property
    def n_harmful(self) -> int:
        """Inputs that did harm which the child saw itself."""
        return self._head()[2]

    @property
    def slowest_sec(self) -> float:
        """CPU seconds that the slowest input took."""
        return self._head()[6]

    def under_way(self) -> tuple[bytes, float, float] | None:
        """The input being read, the time and the child's CPU time at which it was begun; None between inputs.

        What is read while the child writes may be half old: what counts must be seen twice.
        """
        begun, done, _, length, wall, cpu, _ = self._head()
        return (self._map[_HEAD.size : _HEAD.size + length], wall, cpu) if begun > done else None

    def skip(self) -> None:
        """In the parent: the input under way killed its child, or was killed with it; it counts as tried."""
        begun, _, harmful, _, _, _, slowest = self._head()
        _HEAD.pack_into(self._map, 0, begun, begun, harmful, 0, 0.0, 0.0, slowest)
