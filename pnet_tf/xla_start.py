"""Starting XLA without the remarks that it makes to everybody's screen when it first compiles something."""

import functools
import os
import re
import sys
import tempfile

import tensorflow as tf

# They come from C++ and obey none of TensorFlow's settings (2.17).
_REMARKS = re.compile(rb"WARNING: All log messages before absl::InitializeLog|I0000 .*(service\.cc|device_compiler\.h):\d+\]")


@functools.cache
def start_xla() -> None:
    """Has XLA compile one sum; whatever else is said to stderr in that moment comes through afterwards."""
    one = tf.constant(1)
    try:
        screen = os.dup(2)
    except OSError:  # a process without stderr
        _double(one)
        return
    try:
        with tempfile.TemporaryFile() as said:
            sys.stderr.flush()
            os.dup2(said.fileno(), 2)
            try:
                _double(one)
            finally:
                os.dup2(screen, 2)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not _REMARKS.match(line)))
    finally:
        os.close(screen)


@tf.function(jit_compile=True, autograph=False)
def _double(number: tf.Tensor) -> tf.Tensor:
    return number + number
