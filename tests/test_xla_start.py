"""XLA starts without its remarks, and nothing else that is said is lost."""

import subprocess
import sys

PROGRAM = """
import os
{before}
import tensorflow as tf
from pnet_tf import xla_start

inner = xla_start._double
def spoken(one):
    os.write(2, b"something else\\nI0000 00:00:1.1 9 other.cc:1] news\\n")
    return inner(one)
xla_start._double = spoken
xla_start.start_xla()
xla_start.start_xla()
print(tf.function(lambda: tf.constant(2) * 3, jit_compile=True)().numpy())
"""


def run(before=""):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)], capture_output=True, text=True, timeout=120
    )


def test_its_remarks_are_kept_and_all_else_comes_through_once():
    done = run()
    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr
    assert done.stderr == "something else\nI0000 00:00:1.1 9 other.cc:1] news\n"


def test_a_process_without_stderr_is_no_trouble():
    done = run("os.close(2)\nos.write = lambda *_: 0")
    assert (done.returncode, done.stdout) == (0, "6\n")
