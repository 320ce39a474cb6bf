"""Looks through a built site: no link within it leads nowhere, and no page fetches anything from elsewhere.

    python -m tests.docs_site build/site

prints what is wrong, a line each, and exits with 1; otherwise how much was looked at. Links that a reader may follow to
other places are counted, not tried: there may be no network.
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse

# What a browser loads by itself when it shows a page.
LOADED = {("link", "href"), ("form", "action"), ("use", "href")}
LOADED |= {(tag, "src") for tag in ("script", "img", "iframe", "audio", "video", "source", "embed", "input", "track")}
LOADED |= {("object", "data"), ("video", "poster"), ("img", "srcset"), ("source", "srcset")}
IN_STYLE = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")
# Scripts name addresses in licences and in namespaces of SVG; what they fetch they ask for by one of these.
IN_SCRIPT = re.compile(r"""(?:\b(?:fetch|import|importScripts|open)\(|\.src\s*=)\s*["'`]((?:https?:)?//[^"'`]+)""")


class Page(html.parser.HTMLParser):
    """What one page refers to: links to follow, things it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.loaded, self.anchors, self.styles = [], [], set(), []
        self._within = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._within = tag if tag in ("style", "script") else None
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif tag == "a" and name == "href":
                self.links.append(value)
            elif (tag, name) in LOADED and not (tag == "link" and ("rel", "canonical") in attrs):
                self.loaded.append(value)
            elif name == "style" and value:
                self.styles.append(value)

    def handle_data(self, data):
        if self._within == "style":
            self.styles.append(data)
        elif self._within == "script":
            self.loaded += IN_SCRIPT.findall(data)


def is_outside(address: str) -> bool:
    """Whether an address is of another place than this site."""
    parts = urllib.parse.urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def addresses_in_style(text: str) -> list[str]:
    """The addresses that a style sheet loads."""
    return [first or second for first, second in IN_STYLE.findall(text)]


def check(site: pathlib.Path) -> tuple[list[str], dict[str, int]]:
    """What is wrong with a site, a line each, and how many of what were looked at."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found, counts = [], {"pages": len(pages), "links": 0, "outside links": 0, "loaded": 0}
    for path, page in pages.items():
        where = path.relative_to(site)
        loaded = page.loaded + [address for text in page.styles for address in addresses_in_style(text)]
        counts["loaded"] += len(loaded)
        found += [f"{where}: loads {address}" for address in loaded if is_outside(address)]
        inside = [address for address in loaded if not is_outside(address) and not address.startswith("data:")]
        for address in page.links + inside:
            if is_outside(address):
                counts["outside links"] += 1
                continue
            counts["links"] += 1
            if not leads_somewhere(address, path, pages):
                found.append(f"{where}: {address} leads nowhere")
    for path in sorted(site.rglob("*.css")):
        outside = [a for a in addresses_in_style(path.read_text(encoding="utf-8")) if is_outside(a)]
        found += [f"{path.relative_to(site)}: loads {address}" for address in outside]
    for path in sorted(site.rglob("*.js")):
        found += [f"{path.relative_to(site)}: loads {a}" for a in IN_SCRIPT.findall(path.read_text(encoding="utf-8"))]
    return found, counts


def leads_somewhere(address: str, path: pathlib.Path, pages: dict[pathlib.Path, Page]) -> bool:
    """Whether the file of a link from one page is there, and the anchor in it."""
    parts = urllib.parse.urlsplit(address)
    target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
    if target not in pages:
        return target.is_file() and not parts.fragment
    return not parts.fragment or urllib.parse.unquote(parts.fragment) in pages[target].anchors


def main(site: str) -> int:
    """Prints and returns an exit code."""
    folder = pathlib.Path(site).resolve()
    found, counts = check(folder)
    if not counts["pages"]:
        found.append(f"{site}: no pages; make docs builds them")
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.stdout.write(", ".join(f"{n} {what}" for what, n in counts.items()) + f"; {len(found)} wrong\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
