"""In the process that is attacked: changes seeds, reads them, and writes down what goes wrong; a parent watches it.

python -m tests.attack.child --reader=midi --out=FOLDER --scratch=FOLDER --seconds=20 --inputs=1000 --seed=0 [--guided]
"""

import argparse
import ctypes
import hashlib
import importlib
import os
import pathlib
import random
import re
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator

MEMORY_BYTES = 2 * 2**30
_LONGEST_MESSAGE = 1500
_MOST_POOLED = 400
_MOST_KEPT = 5
_LEAST_SEC = 4.0
# Linux: which signal a process gets when its parent dies (linux/prctl.h).
_PR_SET_PDEATHSIG = 1


def name_of(kind: str, data: bytes) -> str:
    """The name under which an input that did harm is kept."""
    return f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}"


def keep(folder: pathlib.Path, kind: str, data: bytes, said: str) -> None:
    """Writes an input that did harm, and what was said of it; of one kind and place the first few."""
    folder.mkdir(parents=True, exist_ok=True)
    places = re.findall(r'File "[^"]*/(?:pnet_tf|site-packages)/([^"]+)", line (\d+)', said)
    kind += "-" + "-".join(places[-1]).replace("/", "_") if places else ""
    if len(list(folder.glob(f"{kind}-*.txt"))) >= _MOST_KEPT:
        return
    (folder / name_of(kind, data)).write_bytes(data)
    (folder / f"{name_of(kind, data)}.txt").write_text(said + "\n", encoding="utf-8", errors="replace")


def verdict(read: Callable[[bytes], object], data: bytes) -> tuple[str, str]:
    """Reads one input: `read` or `refused` and in what words, or `trace` or `memory` and what was raised."""
    from pnet_tf.errors import InputError

    try:
        read(data)
    except InputError as error:
        if "\n" in str(error) or len(str(error)) > _LONGEST_MESSAGE:
            return "trace", f"no short line: {str(error)[:3000]}"
        out_of_memory = any(isinstance(cause, MemoryError) for cause in _causes(error))
        return ("memory" if out_of_memory else "refused"), str(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        import traceback

        kind = "memory" if any(isinstance(cause, MemoryError) for cause in _causes(error)) else "trace"
        return kind, "".join(traceback.format_exception(error))[-6000:]
    return "read", ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _limit_memory() -> None:
    """From here on the process may take 2 GiB more than what it stands on."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _start_of_process() -> float:
    """When this process began, in seconds since the machine did."""
    fields = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


class _Attack:
    """Reads inputs one after the other and keeps those that did harm, and for the next changes those that said new things."""

    def __init__(self, options: argparse.Namespace, scratch: pathlib.Path) -> None:
        begun = time.monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME) + _start_of_process()
        from tests.attack.readers import whole
        from tests.attack.slot import Slot

        self.reader = importlib.import_module(options.module).READERS[options.reader]
        self._read = whole(self.reader, scratch)
        self.pool = list(self.reader.seeds())
        self._said: set[str] = set()
        self._out = options.out
        self._slot = Slot(options.out / "slot")
        # The time that the start took counts, so that a sample of all readers keeps to its time.
        self._stop_at = max(begun + options.seconds, time.monotonic() + _LEAST_SEC)
        self._last = self._slot.n_done + options.inputs
        _limit_memory()

    @property
    def is_over(self) -> bool:
        """Whether time or inputs are used up."""
        return time.monotonic() > self._stop_at or self._slot.n_done >= self._last

    def one(self, data: bytes) -> None:
        """Reads one input."""
        self._slot.begin(data)
        kind, said = verdict(self._read, data)
        if harmful := kind in ("trace", "memory"):
            keep(self._out / "harm", kind, data, said)
        self._slot.end(harmful=harmful)
        words = re.sub(r"[^A-Za-z ]+", "", said)[:120]
        if words not in self._said and len(self.pool) < _MOST_POOLED and len(data) < 20_000:
            self._said.add(words)
            self.pool.append(data)

    def changed(self, rng: random.Random) -> bytes:
        """A changed member of the pool."""
        from tests.attack.mutation import MOST_BYTES

        return self.reader.mutate(rng.choice(self.pool), self.pool, rng)[:MOST_BYTES]


def _mutate(attack: _Attack, seed: int) -> None:
    rng = random.Random(f"{attack.reader.name} {seed}")
    while not attack.is_over:
        attack.one(attack.changed(rng))


def _guide(attack: _Attack, options: argparse.Namespace) -> None:
    """Lets atheris choose by coverage; half its changes are ours. Ends the process."""
    import atheris

    corpus = options.out / "corpus"
    corpus.mkdir(exist_ok=True)
    for data in attack.pool:
        (corpus / name_of("seed", data)).write_bytes(data)

    def one(data: bytes) -> None:
        """Reads one input; libFuzzer itself cannot end by a count that we keep."""
        attack.one(data)
        if attack.is_over:
            os._exit(0)

    def change(data: bytes, most_bytes: int, seed: int) -> bytes:
        """Ours or libFuzzer's change."""
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return atheris.Mutate(data, min(most_bytes, len(data) + 64))
        return attack.reader.mutate(data, attack.pool, rng)[:most_bytes]

    arguments = [sys.argv[0], str(corpus), f"-seed={options.seed + 1}", "-max_len=65536", "-rss_limit_mb=0", "-timeout=600"]
    arguments += [
        f"-artifact_prefix={options.scratch}/",
        "-verbosity=0",
        "-print_final_stats=0",
        "-len_control=0",
        "-detect_leaks=0",
        "-handle_segv=0",
        "-handle_abrt=0",
    ]
    atheris.Setup(arguments, one, custom_mutator=change)
    atheris.Fuzz()


def main() -> None:
    """Attacks one reader for so long or so often."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reader")
    parser.add_argument("--module", default="tests.attack.readers")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--scratch", type=pathlib.Path)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--inputs", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--guided", action="store_true")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    warnings.simplefilter("ignore")
    if options.guided:
        import atheris

        from tests.attack.readers import READERS

        with atheris.instrument_imports(include=list(READERS[options.reader].guided)):
            for module in READERS[options.reader].guided:
                importlib.import_module(module)
    from absl import logging

    logging.set_verbosity(logging.FATAL)
    attack = _Attack(options, options.scratch)
    if options.guided:
        _guide(attack, options)
    else:
        _mutate(attack, options.seed)


if __name__ == "__main__":
    main()
