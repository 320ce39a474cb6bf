"""One HTML page of an evaluation: the table, the definitions, and every sound beside the others, with no network."""

import dataclasses
import errno
import html
import os
import pathlib
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from pnet_tf import evaluation_picture, wav_file
from pnet_tf.errors import InputError
from pnet_tf.evaluation_plan import require_free
from pnet_tf.evaluation_report import Measured, notes, recording_values, show
from pnet_tf.files import write_whole
from pnet_tf.metrics_sound import Sound
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec

PAGE_NAME = "index.html"
_VALUES_NAME = "values.png"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1500px; padding: 0 1.5em; color: #22303a; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #d9dee3; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
small, .about, dd { color: #5c6670; }
.wide { overflow-x: auto; }
.sounds { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 1.5em; }
.sounds img, .sounds audio, .chart { width: 100%; }
h3 { margin: 0 0 .2em; font-size: 1em; }
dt { font-weight: 600; }
"""


@dataclasses.dataclass(frozen=True)
class _Section:
    """A recording of the page: its name, what it is, and for each candidate the files and values."""

    name: str
    about: str
    sounds: Mapping[str, tuple[str, str, Mapping[str, float | None]]]


class Page:
    """A folder with the page, its pictures and its sounds; it gets its name when all of it is there.

    Used as a context manager: left without `finish`, it leaves nothing behind.
    """

    def __init__(self, folder: pathlib.Path, excerpt_sec: float) -> None:
        """Begins a page.

        Args:
          folder: must not exist, or be empty.
          excerpt_sec: how much of each recording can be heard and seen.

        Raises:
          InputError: the folder is taken, or cannot be made.
        """
        require_free(folder)
        self._folder, self._excerpt_sec = folder, excerpt_sec
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        self._sections: list[_Section] = []

    def __enter__(self) -> "Page":
        """The page itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Removes what was not finished."""
        shutil.rmtree(self._partial, ignore_errors=True)

    def excerpt(self, sound: Sound) -> Sound:
        """The beginning of a sound that the page has room for, at the level of all others."""
        return Sound(sound.waveform[: round(self._excerpt_sec * sound.spec.sample_rate_hz)], sound.spec)

    def add(self, measured: Measured, score: Score, excerpts: Mapping[str, Sound], spec: FeatureSpec) -> None:
        """Writes the sounds and pictures of one recording.

        Args:
          measured: what was measured on it.
          score: its notes.
          excerpts: the sound of each candidate.
          spec: gives the rate.

        Raises:
          InputError: a file cannot be written.
        """
        sounds = {}
        for name, sound in excerpts.items():
            stem = f"{len(self._sections) + 1:02d}-{_file_name(measured.name)}-{len(sounds) + 1:02d}-{_file_name(name)}"
            try:
                wav_file.write_wav(self._partial / f"{stem}.wav", sound.waveform, spec)
            except InputError as error:  # by the name that the file would have had
                raise InputError(str(error).replace(str(self._partial), str(self._folder))) from error
            evaluation_picture.draw_sound(self._partial / f"{stem}.png", sound, score)
            sounds[name] = (f"{stem}.wav", f"{stem}.png", recording_values(measured.tallies[name]))
        heard_sec = min(self._excerpt_sec, measured.seconds)
        about = f"{measured.seconds:.1f} s, {measured.n_notes} notes; the first {heard_sec:.1f} s are here, all at one level"
        self._sections.append(_Section(measured.name, about, sounds))

    def finish(self, report: Mapping[str, Any]) -> None:
        """Writes the page and gives the folder its name.

        Args:
          report: from `evaluation_report.make_report`.

        Raises:
          InputError: the folder was taken meanwhile.
        """
        evaluation_picture.draw_values(self._partial / _VALUES_NAME, report)
        write_whole(self._partial / PAGE_NAME, _page(report, self._sections))
        self._partial.chmod(0o777 & ~_umask())
        try:
            # A rename onto an empty folder replaces it, onto any other it fails.
            self._partial.replace(self._folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise InputError(f"{self._folder}: something else is there by now; give another --html") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text)[:60]


# --- the page


def _page(report: Mapping[str, Any], sections: Sequence[_Section]) -> str:
    asked = report["asked"]
    title = html.escape(f"How near is it? {asked['instrument']}, {asked['split']} part of {asked['source']}")
    blocks = [
        f"<h1>{title}</h1>",
        "<p>" + "<br>".join(html.escape(line) for line in notes(report)) + "</p>",
        f'<div class="wide">{_table(report)}</div>',
        f'<p><img class="chart" src="{_VALUES_NAME}" alt="every value with its interval"></p>',
        _definitions(report),
        *(_section(section, report) for section in sections),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(blocks) + "\n</body>\n</html>\n"
    )


def _table(report: Mapping[str, Any]) -> str:
    metrics = report["metrics"]
    head = "".join(f"<th>{html.escape(metric['label'])}<br><small>{metric['better']}</small></th>" for metric in metrics)
    rows = []
    for candidate in report["candidates"]:
        cells = "".join(_cell(candidate["values"][metric["name"]]) for metric in metrics)
        about = f'<br><small>{html.escape(candidate["about"])}</small>'
        rows.append(f'<tr><td>{html.escape(candidate["name"])}{about}</td>{cells}</tr>')
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(figures: Mapping[str, Any]) -> str:
    between = "" if figures["low"] is None else f"<br><small>{show(figures['low'])} to {show(figures['high'])}</small>"
    return f"<td>{show(figures['value'])}{between}</td>"


def _definitions(report: Mapping[str, Any]) -> str:
    items = "".join(
        f"<dt>{html.escape(metric['label'])}</dt><dd>{html.escape(metric['meaning'])}</dd>" for metric in report["metrics"]
    )
    return f"<details><summary>What the columns are</summary><dl>{items}</dl></details>"


def _section(section: _Section, report: Mapping[str, Any]) -> str:
    figures = []
    for name, (audio, picture, values) in section.sounds.items():
        shown = ", ".join(
            f"{html.escape(metric['label'])} {show(values[metric['name']])}" for metric in report["metrics"]
        )
        figures.append(
            f'<div><h3>{html.escape(name)}</h3><audio controls preload="none" src="{urllib.parse.quote(audio)}"></audio>'
            f'<img loading="lazy" src="{urllib.parse.quote(picture)}" alt="notes and spectrogram">'
            f'<div class="about">{shown}</div></div>'
        )
    return (
        f'<h2>{html.escape(section.name)}</h2><p class="about">{html.escape(section.about)}</p>'
        f'<div class="sounds">{"".join(figures)}</div>'
    )
