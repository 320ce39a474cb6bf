"""The documentation as a site: `make docs` builds it into build/site, offline, and every warning is an error.

The source folder is the repository itself, so that a link between Markdown files is the same on a code host and here.
"""

import fnmatch
import pathlib
import re
import sys

from sphinx.application import Sphinx

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pnet_tf import __version__ as release  # noqa: E402, F401

project = "pnet_tf"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/api/*.md", "docs/notebooks/*.ipynb"]
include_patterns += ["pnet_tf/voices/*/*.md", "LICENSES/*.md", "examples/*.md"]
# What a person's checkout may hold besides is not even looked through.
exclude_patterns = [".*", "build", "dist", "work", "runs", "data", "models", "musicnet", "**/__pycache__", "tests", "configs"]
nitpicky = True
default_role = "code"
highlight_language = "none"

# --- Markdown
myst_heading_anchors = 4
myst_enable_extensions = []
nb_execution_mode = "off"
suppress_warnings = ["epub.unknown_project_files"]

# --- docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
napoleon_use_ivar = True
# Nothing of other projects can be linked to without a network; every name of ours must be found.
nitpick_ignore_regex = [(r"py:.*", r"(?!pnet_tf\.).*")]

# --- looks
html_theme = "furo"
html_title = "pnet_tf"
html_copy_source = False
html_show_sphinx = False
html_additional_pages = {"index": "to_readme.html"}
templates_path = ["templates"]
html_last_updated_fmt = None

# The order of pages, as patterns; one that is not there is passed over, one that no pattern names comes last.
PAGES = {
    "Using it": ["performing", "page", "serving", "data", "training", "evaluation", "notebooks/*"],
    "Understanding it": ["how_it_works", "architecture", "results", "reliability"],
    "From Python": ["api", *(f"api/{name}" for name in ("scores", "sound", "network", "performing", "learning", "measuring"))],
}
PAGES = {caption: [f"docs/{name}" for name in names] for caption, names in PAGES.items()}
PAGES["Voices and scores"] = ["pnet_tf/voices/*/README", "examples/README"]
PAGES["Terms and rules"] = ["docs/licences", "LICENSES/*", "CONTRIBUTING", "CHANGELOG"]
# Copies of those in LICENSES, for whoever has only the package; the cards link to them.
COPIES = "pnet_tf/voices/*/LICENSE"
API = re.compile(r"<!-- api: (pnet_tf\.\w+) -->")
SOUND = re.compile(r'(<a [^>]*href="([^"]+\.ogg)"[^>]*>.*?</a>)', re.DOTALL)


def toctrees(found: set[str]) -> str:
    """The contents of the site, of the documents that there are: one hidden toctree a subject, in Markdown."""
    left = found - {root_doc} - set(fnmatch.filter(found, COPIES))
    text = ""
    for caption, patterns in {**PAGES, "More": ["*"]}.items():
        names = [name for pattern in patterns for name in fnmatch.filter(sorted(left), pattern)]
        left -= set(names)
        lines = ["Quick start <self>"] * (caption == "Using it") + [f"/{name}" for name in names]
        if lines:
            text += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(lines) + "\n```\n"
    return text


def complete(app: Sphinx, docname: str, source: list[str]) -> None:
    """Adds what a code host has no use for: the contents to the README, the docstrings to the pages of the API."""
    if docname == root_doc:
        source[0] += toctrees(app.env.found_docs)
    if fnmatch.fnmatchcase(docname, COPIES):
        source[0] = f"---\norphan: true\n---\n{source[0]}"
    if docname.startswith("docs/api"):
        directive = "```{eval-rst}\n.. automodule:: \\1\n   :members:\n```"
        source[0] = API.sub(directive, source[0])


def without_fields(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Leaves out the fields of named tuples: their class says what they are."""
    return True if (getattr(member, "__doc__", None) or "").startswith("Alias for field number") else None


def add_players(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """A link to a sound gets a player beside it."""
    if "body" in context:
        context["body"] = SOUND.sub(r'\1 <audio controls preload="none" src="\2"></audio>', context["body"])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", without_fields)
    app.connect("html-page-context", add_players)
    app.connect("source-read", complete)
