"""The example scores: where they lie, in the repository as in an installed package, and which they are."""

import pathlib

from pnet_tf.errors import InputError

PREFIX = "example:"
# Where a wheel puts them (setup.cfg), and where a checkout has them.
_FOLDERS = (pathlib.Path(__file__).parent / "examples", pathlib.Path(__file__).parent.parent / "examples")
_SUFFIXES = (".mid", ".musicxml")


def list_examples() -> dict[str, pathlib.Path]:
    """The files of the example scores by their names, which are those of the files without suffix; in the order of names."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    files = sorted(folder.iterdir()) if folder else []
    return {file.stem: file for file in files if file.suffix in _SUFFIXES}


def find_score(text: str) -> pathlib.Path:
    """The path of a score: of an example where the text is `example:NAME`, the text itself otherwise.

    Args:
      text: as a person gave it; a file whose name begins like that is reached as `./example:NAME`.

    Raises:
      InputError: there is no such example.
    """
    if not text.startswith(PREFIX):
        return pathlib.Path(text)
    name, found = text.removeprefix(PREFIX), list_examples()
    if name not in found:
        there = ", ".join(f"{PREFIX}{known}" for known in found) or "none at all"
        raise InputError(f"{text}: no such example; there is {there}")
    return found[name]
