"""Runs a command again and again in processes that are killed while they write; started by `faults.KilledWriter`.

    python killed_writer.py MODULE FOLDER FLAG ...

For each line on stdin, the number of a change to the folder's content (0: never), the command runs in a fork of this process,
which has imported everything and computed nothing, and is killed at that change. Answered by `killed` or by the exit code.
"""

import importlib
import os
import pathlib
import signal
import sys
import time


def state_of(folder: pathlib.Path) -> tuple:
    """Names and sizes of all that is there."""
    seen = []
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                seen.append((root, name, os.stat(os.path.join(root, name)).st_size))
            except FileNotFoundError:  # renamed in between
                seen.append((root, name, -1))
    return tuple(sorted(seen))


def run_until(change: int, module, folder: pathlib.Path, flags: list[str]) -> str:
    """Forks, and kills at a change; how it ended."""
    from pnet_tf import command

    before, pid = state_of(folder), os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os._exit(command.run(module.define_flags, module.main, flags))
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return str(os.waitstatus_to_exitcode(status))
        now = state_of(folder)
        change -= now != before
        if now != before and change == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "killed"
        before = now
        time.sleep(0.0005)


def main() -> None:
    """See above."""
    name, folder, *flags = sys.argv[1:]
    module = importlib.import_module(f"pnet_tf.{name}")
    for heavy in ("performer", "export", "preparation", "render"):  # brought by main, which a fork would do again each time
        importlib.import_module(f"pnet_tf.{heavy}")
    for line in sys.stdin:
        print(run_until(int(line), module, pathlib.Path(folder), flags), flush=True)


if __name__ == "__main__":
    main()
