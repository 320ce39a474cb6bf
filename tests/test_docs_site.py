"""What `make docs` is judged by: a site that loads something from elsewhere, or whose links lead nowhere, is told."""

import pathlib

import pytest

from tests import docs_site

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAD = '<!doctype html><html><head><link rel="stylesheet" href="look.css"></head><body id="top">'


@pytest.fixture
def site(tmp_path):
    """Two pages that refer to each other, a style sheet and a script."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "look.css").write_text('a { background: url("data:image/png;base64,AA") }')
    (tmp_path / "run.js").write_text('const svg = "http://www.w3.org/2000/svg"; fetch("searchindex.js");')
    (tmp_path / "index.html").write_text(HEAD + '<a href="sub/a%20b.html#here">a</a> <a href="https://example.org">b</a>')
    (tmp_path / "sub" / "a b.html").write_text('<p id="here"><a href="../index.html#top">back</a> <a href="#here">here</a>')
    return tmp_path


def test_a_site_that_holds_together_passes(site, capsys):
    assert docs_site.main(str(site)) == 0
    assert capsys.readouterr().out == "2 pages, 4 links, 1 outside links, 1 loaded; 0 wrong\n"


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<script>import("https://cdn.example.org/x.js")</script>',
        '<link rel="preconnect" href="//fonts.example.org">',
        '<img src="http://example.org/badge.svg">',
        '<style>@import "https://fonts.example.org/a.css";</style>',
        '<p style="background: url(https://example.org/x.png)">',
        '<audio><source src="https://example.org/x.ogg"></audio>',
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_told(body, site):
    (site / "index.html").write_text(HEAD + body)
    found, _ = docs_site.check(site)
    assert len(found) == 1 and found[0].startswith("index.html: loads ") and "example.org" in found[0]


def test_what_a_style_sheet_or_a_script_would_fetch_is_told(site):
    (site / "look.css").write_text("@font-face { src: url(https://fonts.example.org/a.woff2) }")
    (site / "run.js").write_text('fetch("https://example.org/count")')
    assert [line.partition(":")[0] for line in docs_site.check(site)[0]] == ["look.css", "run.js"]


@pytest.mark.parametrize("address", ["gone.html", "sub/a%20b.html#gone", "#gone", "../index.html", "look.css#x"])
def test_a_link_that_leads_nowhere_is_told(address, site):
    (site / "index.html").write_text(HEAD + f'<a href="{address}">x</a>')
    assert docs_site.check(site)[0] == [f"index.html: {address} leads nowhere"]


def test_a_folder_without_pages_is_no_site(tmp_path, capsys):
    assert docs_site.main(str(tmp_path)) == 1
    assert "no pages" in capsys.readouterr().out
