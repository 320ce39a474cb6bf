"""The Markdown of the repository as tests look at it: pages, their anchors, links and fenced blocks.

    python -m tests.docs_pages

lists every link to another place, with the pages that have it: nobody can try those without a network (`make linkcheck` does).
"""

import dataclasses
import pathlib
import re
import sys
import urllib.parse
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATTERNS = ("*.md", "docs/**/*.md", "examples/*.md", "pnet_tf/voices/*/*.md", "LICENSES/*.md")
COMMENT = re.compile(r"\s*<!--(.*?)-->\s*\Z", re.DOTALL)


def pages(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """Every page, in the order in which a person would come to them."""
    return [path for pattern in PATTERNS for path in sorted(root.glob(pattern))]


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
      path: of the page.
      line: number of the fence.
      language: as the fence says it, such as `sh`.
      text: what it holds.
      comment: the HTML comment right before it, without its marks; empty where there is none.
    """

    path: pathlib.Path
    line: int
    language: str
    text: str
    comment: str

    @property
    def place(self) -> str:
        """Page and line, for messages and names of tests."""
        return f"{self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path.name}:{self.line}"


class Page:
    """A parsed page."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))

    def blocks(self) -> list[Block]:
        """Its fenced blocks, with the comment that stands before each."""
        found, comment = [], ""
        for token in self._tokens:
            if token.type == "fence":
                found.append(Block(self.path, token.map[0] + 1, token.info.strip(), token.content, comment))
            match = COMMENT.match(token.content) if token.type == "html_block" else None
            comment = match[1].strip() if match else ""
        return found

    def anchors(self) -> set[str]:
        """What a `#` may lead to: its headings as code hosts write them."""
        found: dict[str, int] = {}
        for before, token in zip(self._tokens, self._tokens[1:]):
            if before.type == "heading_open":
                words = "".join(child.content for child in token.children)
                slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
                found[slug] = found.get(slug, -1) + 1
        return {slug if not k else f"{slug}-{k}" for slug, n in found.items() for k in range(n + 1)}

    def links(self) -> list[str]:
        """Where its links and pictures lead."""
        return [address for token in self._tokens for address in _links_in(token)]


def _links_in(token: Token) -> Iterator[str]:
    for child in token.children or []:
        if child.type in ("link_open", "image"):
            yield str(child.attrs["href" if child.type == "link_open" else "src"])


def is_outside(address: str) -> bool:
    """Whether a link leaves the repository."""
    return bool(urllib.parse.urlsplit(address).scheme)


def broken_links(page: pathlib.Path) -> list[str]:
    """The links of a page within the repository that lead to no file or no heading."""
    found = []
    for address in Page(page).links():
        if is_outside(address):
            continue
        parts = urllib.parse.urlsplit(address)
        target = page.parent / urllib.parse.unquote(parts.path) if parts.path else page
        if not target.exists() or parts.fragment and (target.suffix != ".md" or parts.fragment not in Page(target).anchors()):
            found.append(address)
    return found


def main() -> None:
    """Prints the links that leave the repository."""
    where: dict[str, list[str]] = {}
    for path in pages():
        for address in filter(is_outside, Page(path).links()):
            where.setdefault(address, []).append(str(path.relative_to(ROOT)))
    sys.stdout.write("".join(f"{address}  ({', '.join(dict.fromkeys(names))})\n" for address, names in sorted(where.items())))
    sys.stdout.write(f"{len(where)} addresses, none of them tried\n")


if __name__ == "__main__":
    main()
