"""Links within the repository lead to files and headings that are there; fences are found with the comments before them."""

import pytest

from tests import docs_pages
from tests.docs_pages import ROOT, Page, broken_links, pages

TEXT = """# A *big* title: `x_y`, "it's"

See [here](#twice-1), [there](b.md#part-one), <https://example.org/a>, ![p](p.png) and [code](../pnet.py).

## Twice
## Twice

<!-- run -->
```sh
one
```

<!-- far away -->

text

```
two
```
"""


@pytest.fixture
def page(tmp_path):
    """A page, and what it links to."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "pnet.py").touch()
    (tmp_path / "docs" / "p.png").touch()
    (tmp_path / "docs" / "b.md").write_text("Part one\n========\n")
    path = tmp_path / "docs" / "a.md"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_within_the_repository_is_broken(path):
    assert broken_links(path) == []


def test_every_kind_of_page_is_looked_at():
    names = {str(path.relative_to(ROOT)) for path in pages()}
    assert {"README.md", "docs/api/sound.md", "pnet_tf/voices/violin/README.md", "LICENSES/voice-violin.md"} <= names


def test_headings_are_anchors_as_code_hosts_write_them(page):
    assert Page(page).anchors() == {"a-big-title-x_y-its", "twice", "twice-1"}


def test_whole_links_pass_and_broken_ones_are_told(page):
    assert broken_links(page) == []
    page.write_text(TEXT + "\n[1](gone.md) [2](b.md#gone) [3](#gone) [4](../pnet.py#x)\n")
    assert broken_links(page) == ["gone.md", "b.md#gone", "#gone", "../pnet.py#x"]


def test_a_block_has_the_comment_right_before_it(page):
    assert [(b.language, b.text, b.comment, b.line) for b in Page(page).blocks()] == [
        ("sh", "one\n", "run", 9),
        ("", "two\n", "", 17),
    ]


def test_outside_links_are_listed(capsys):
    docs_pages.main()
    said = capsys.readouterr().out.splitlines()
    assert "https://arxiv.org/abs/1811.04357  (README.md)" in said
    assert said[-1] == f"{len(said) - 1} addresses, none of them tried"
