"""The page opens without a network, its files are all there, and it appears whole or not at all."""

import html.parser
import re
import urllib.parse

import numpy as np
import pytest
import soundfile

from pnet_tf.errors import InputError
from pnet_tf.evaluation_page import PAGE_NAME, Page
from pnet_tf.evaluation_report import Measured
from pnet_tf.metrics_sound import LEVEL_RMS, Sound
from tests.test_evaluation_report import report_of, tallies
from tests.test_metrics_tally import NOTES, RATE_HZ, SCORE, SPEC, waveform_of

NAMES = ["voice <b>&", "recording, 3 s late"]
MEASURED = Measured("take 1/2 #%", 3.0, 6, {name: [tallies((10, 10), (30, 10))] for name in NAMES})


class Links(html.parser.HTMLParser):
    """What a page points to, and which elements it has."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


@pytest.fixture
def page(tmp_path):
    """A finished page of one recording, of which a second can be heard."""
    with Page(tmp_path / "page", 1.0) as page:
        excerpts = {name: page.excerpt(Sound(waveform_of(NOTES) * factor, SPEC)) for name, factor in zip(NAMES, (1, 0.01))}
        page.add(MEASURED, SCORE, excerpts, SPEC)
        assert not (tmp_path / "page").exists()
        page.finish(report_of(NAMES, [MEASURED]))
    return tmp_path / "page"


def test_all_that_the_page_points_to_lies_beside_it(page):
    text = (page / PAGE_NAME).read_text(encoding="utf-8")
    links = Links(text).links
    assert len(links) == 1 + 2 * len(NAMES)
    files = {urllib.parse.unquote(link) for link in links}
    assert files == {path.name for path in page.iterdir()} - {PAGE_NAME}
    assert not re.search(r"https?:|//|@import|url\(", text.replace("<!DOCTYPE", ""))
    assert not {"script", "link", "iframe"} & set(Links(text).tags)


def test_names_cannot_break_the_page(page):
    text = (page / PAGE_NAME).read_text(encoding="utf-8")
    assert "voice &lt;b&gt;&amp;" in text and "voice <b>" not in text
    assert "take 1/2 #%" in text
    assert all(re.fullmatch(r"[\w.-]+", path.name) for path in page.iterdir())


def test_sounds_are_excerpts_at_one_level(page):
    sounds = sorted(page.glob("*.wav"))
    assert len(sounds) == 2
    for path in sounds:
        waveform, rate_hz = soundfile.read(path)
        assert len(waveform) == rate_hz == RATE_HZ
        assert np.sqrt(np.mean(waveform**2)) == pytest.approx(LEVEL_RMS, rel=0.02)


def test_the_table_and_the_recording_have_their_figures(page):
    text = (page / PAGE_NAME).read_text(encoding="utf-8")
    assert text.count("<tr>") == 1 + len(NAMES)
    assert "<td>2.000<br><small>1.000 to 3.000</small></td>" in text
    assert "log-mel dB 2.000" in text
    assert "the first 1.0 s are here" in text


def test_what_is_not_finished_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), Page(tmp_path / "page", 1.0) as page:
        page.add(MEASURED, SCORE, {name: page.excerpt(Sound(waveform_of(NOTES), SPEC)) for name in NAMES}, SPEC)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_taken_folder_is_refused_at_the_beginning_and_at_the_end(tmp_path):
    (tmp_path / "page").mkdir()
    with pytest.raises(InputError, match="something else is there by now"), Page(tmp_path / "page", 1.0) as page:
        (tmp_path / "page" / "mine").touch()
        page.finish(report_of(NAMES, [MEASURED]))
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    with pytest.raises(InputError, match="exists already"):
        Page(tmp_path / "page", 1.0)
