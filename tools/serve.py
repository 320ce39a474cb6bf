"""A page to play on; see pnet_tf/serve_command.py."""

import pathlib
import sys

if __name__ == "__main__":
    # So that it runs from a checkout that is not installed as well.
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from pnet_tf import serve_command

    serve_command.console()
