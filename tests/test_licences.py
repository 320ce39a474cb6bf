"""What users ship carries no copyleft code, and each dependency that is copyleft, or bundles what is, is explained."""

import configparser
import importlib.metadata
import pathlib
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPYLEFT = re.compile(r"\b(AGPL|LGPL|GPL|MPL|EPL|EUPL|CDDL|SSPL|GNU|Mozilla)", re.IGNORECASE)
# Whole programs would come under these.
STRONG = re.compile(r"\b(AGPL|SSPL|(?<!L)GPL(?!.*exception))|Affero|(?<!Lesser )General Public License", re.IGNORECASE)
# Files that lie in wheels, by the beginning of their names.
COPYLEFT_FILES = ("libsndfile", "libsoxr", "libgfortran", "libquadmath", "libgomp", "libmpg123", "libmp3lame", "libfribidi")


def licence_of(distribution):
    """What a package says of itself: the expression, or else the first line of its licence, and its classifiers."""
    told = distribution.metadata
    said = told.get("License-Expression") or (told.get("License") or "").strip().split("\n")[0]
    classified = [line.split(" :: ")[-1] for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    return "; ".join([said, *classified]).strip("; ")


def installed_for(*groups):
    """Distributions that the package's own requirements and these extras bring, and those that they bring."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [parser["options"]["install_requires"], *(parser["options.extras_require"][group] for group in groups)]
    pending = [line for text in texts for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = {}
    while pending:
        requirement = Requirement(pending.pop())
        name = canonicalize_name(requirement.name)
        if name in found or requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        pending += found[name].requires or []
    return found


PACKAGES = installed_for("tf", "play")
DOCUMENT = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")


def test_the_packages_are_found():
    assert {"music21", "numpy", "soundfile", "tensorflow", "keras", "soxr", "absl-py"} <= PACKAGES.keys()
    assert len(PACKAGES) > 60


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_each_dependency_is_listed_with_its_licence_and_none_is_strongly_copyleft(name):
    said = licence_of(PACKAGES[name])
    assert not STRONG.search(said), f"{name}: {said}"
    row = re.search(rf"^\| {re.escape(name)} \| ([^|]+) \|", DOCUMENT, re.MULTILINE)
    assert row, f"docs/licences.md does not list {name} ({said})"
    if COPYLEFT.search(said):
        assert COPYLEFT.search(row[1]), f"{name} says {said}, docs/licences.md {row[1]}"
        assert f"**{name}**" in DOCUMENT, f"docs/licences.md does not explain {name} ({said})"


def test_what_the_page_brings_is_listed_too():
    """Where it is installed: make test-browser does that."""
    for name, distribution in installed_for("tf", "demo").items():
        said = licence_of(distribution)
        assert not STRONG.search(said), f"{name}: {said}"
        assert name == "pnet-tf" or re.search(rf"^\| {re.escape(name)} \| ", DOCUMENT, re.MULTILINE), f"{name} ({said})"
        assert not COPYLEFT.search(said) or f"**{name}**" in DOCUMENT, f"{name} ({said}) is not explained"


def test_what_wheels_bundle_of_copyleft_libraries_is_explained():
    bundled = {
        (name, library)
        for name, distribution in PACKAGES.items()
        for path in distribution.files or ()
        for library in COPYLEFT_FILES
        if path.name.startswith(library)
    }
    assert ("soundfile", "libsndfile") in bundled
    assert [(name, library) for name, library in sorted(bundled) if f"`{library}`" not in DOCUMENT] == []


def test_the_package_itself_is_plain_python_and_data():
    """Nothing is compiled into it, so nothing is linked into what users pass on; the page's script is our own."""
    suffixes = {path.suffix for path in (ROOT / "pnet_tf").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert suffixes <= {".py", ".json", ".npz", ".md", ".js", ".css", ".html", ".svg", ".mid", ".musicxml"}


def test_the_lock_file_has_a_hash_for_each_pin_and_names_no_place():
    pins = [line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if re.match(r"\w", line)]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert re.findall(r"^(\S+==\S+) \\$", lock, re.MULTILINE) == pins
    for block in re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), block
    assert "://" not in lock and "index" not in lock
