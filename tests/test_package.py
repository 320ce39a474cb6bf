"""The package: what wheel and sdist carry, how they play where there is no repository, one version in one place."""

import configparser
import email
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import numpy as np
import pytest
import soundfile
import yaml
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pnet_tf

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOST_BYTES = 60e6
INFO = f"pnet_tf-{pnet_tf.__version__}.dist-info"
# What every wheel has to carry, whatever else the package holds by then.
WHEEL_MUST = {
    "pnet_tf/__init__.py",
    "pnet_tf/perform_command.py",
    *(f"pnet_tf/examples/{name}" for name in ("bach_cello_suite_1_prelude.musicxml", "greensleeves_violin.musicxml")),
    *("pnet_tf/examples/ode_to_joy_flute.mid", "pnet_tf/examples/README.md"),
    *(
        f"pnet_tf/voices/{voice}/{name}"
        for voice in ("cello", "flute", "violin")
        for name in ("weights.npz", "voice.json", "feature_spec.json", "model_config.json", "README.md", "LICENSE.md")
    ),
    *(f"{INFO}/licenses/{name}" for name in ("LICENSE", "LICENSES/voice-violin.md", "LICENSES/voices-cello-flute.md")),
}
SDIST_MUST = {
    *("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "ruff.toml", ".gitignore"),
    *("requirements.txt", "requirements.lock", "requirements-attack.txt", "setup.cfg", "pyproject.toml", ".ci/run"),
    *("tests/conftest.py", "tests/golden/features_v1.npz", "tests/attack/past/wav/rate-1", "tests/attack/__main__.py"),
    *("tools/perform.py", "configs/violin.flags", "docs/architecture.md", "docs/figures/model.png"),
    *("examples/greensleeves_violin.musicxml", "LICENSES/voice-violin.md"),
}
LABEL_COLUMNS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value"
NEVER = re.compile(r"__pycache__|\.py[cod]$|(^|/)(work|runs|build|dist|\.venv|\.git|\.pytest_cache|\.hypothesis|\.ruff_cache)/")
NOT_COPIED = (".git", ".venv", "work", "runs", "build", "dist", "shared", "checkpoints-cache", "*.egg-info", "__pycache__")
NOT_COPIED += (".*_cache", ".hypothesis")


def set_up() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


# --- in a moment


def test_importing_it_imports_nothing_else():
    """Not even NumPy: whoever asks for its version or its folder waits for nothing."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import pnet_tf"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    rows = re.findall(r"\|\s+(\d+) \|( +)([\w.]+)$", done.stderr, re.MULTILINE)
    microseconds = {name: int(total) for total, _, name in rows}
    assert microseconds["pnet_tf"] < 50_000
    outside = {name.partition(".")[0] for name in microseconds}
    assert not outside & {"numpy", "scipy", "absl", "music21", "matplotlib", "soundfile", "tensorflow", "keras", "librosa"}


def test_the_version_is_in_one_place_and_what_repeats_it_agrees():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", pnet_tf.__version__)
    assert set_up()["metadata"]["version"] == "attr: pnet_tf.__version__"
    first = re.search(r"^## \[(.+?)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first[1] == pnet_tf.__version__
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited[1] == pnet_tf.__version__
    installed = re.findall(r"pnet_tf-([\d.]+)-py3", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(installed) == {pnet_tf.__version__}


def test_the_citation_names_the_software_and_the_paper():
    """`make package` compares it with the schema of its format; this is what citing needs."""
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "type"} <= told.keys()
    assert (told["cff-version"], told["type"]) == ("1.2.0", "software")
    (paper,) = told["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Wang", "Yang"]
    assert paper["year"] == 2019 and paper["url"] == "https://arxiv.org/abs/1811.04357"


def test_the_changelog_has_the_form_that_it_says():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^(#+) (.+)$", text, re.MULTILINE)
    assert headings[0] == ("#", "Changelog")
    for level, heading in headings[1:]:
        version = re.fullmatch(r"\[\d+\.\d+\.\d+\S*\] - (unreleased|\d{4}-\d\d-\d\d)", heading)
        kind = heading in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
        assert version if level == "##" else level == "###" and kind, heading


# --- built: slow


def run(*command, cwd, **environment):
    """A command with none of this process's Python set-up, its output as text; fails where the command does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PYTEST"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def build(source, out, what):
    """`wheel` or `sdist` of a folder by the hook that `python -m build --no-isolation` calls; its path."""
    out.mkdir(parents=True, exist_ok=True)
    hook = "import sys; from setuptools import build_meta as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"
    return out / run(sys.executable, "-c", hook, what, out, cwd=source).stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="module")
def tree(scratch):
    """A copy of this checkout without what git ignores, so that building leaves nothing in it."""
    return shutil.copytree(ROOT, scratch / "tree", ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)


@pytest.fixture(scope="module")
def sdist(tree, scratch):
    return build(tree, scratch / "dist", "sdist")


@pytest.fixture(scope="module")
def unpacked(sdist, scratch):
    with tarfile.open(sdist) as archive:
        archive.extractall(scratch / "unpacked", filter="data")
    return scratch / "unpacked" / f"pnet_tf-{pnet_tf.__version__}"


@pytest.fixture(scope="module")
def wheel(unpacked, scratch):
    """As `python -m build` makes it: from the sdist alone."""
    return build(unpacked, scratch / "dist", "wheel")


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


@pytest.mark.slow
def test_the_wheel_holds_all_of_the_package_and_nothing_else(wheel):
    held = contents(wheel)
    assert wheel.stat().st_size <= MOST_BYTES
    assert WHEEL_MUST <= held.keys()
    assert [name for name in held if NEVER.search(name)] == []
    package = {path for path in (ROOT / "pnet_tf").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {path.relative_to(ROOT).as_posix(): path for path in package}
    expected |= {f"pnet_tf/examples/{path.name}": path for path in (ROOT / "examples").iterdir()}
    assert {name for name in held if not name.startswith(INFO)} == expected.keys()
    assert [name for name, path in expected.items() if held[name] != path.read_bytes()] == []


@pytest.mark.slow
def test_the_sdist_holds_what_tests_and_builds_need(sdist, tree):
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert sdist.stat().st_size <= MOST_BYTES
    assert SDIST_MUST <= held
    assert [name for name in held if NEVER.search(name)] == []
    there = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    there = {name for name in there if not NEVER.search(name)}  # building leaves some
    assert {name for name in held ^ there if ".egg-info/" not in name} == {"PKG-INFO"}


@pytest.mark.slow
def test_the_wheel_of_the_checkout_is_that_of_the_sdist(tree, wheel, scratch):
    direct = contents(build(tree, scratch / "direct", "wheel"))
    assert direct.keys() == contents(wheel).keys()
    assert [name for name, data in contents(wheel).items() if direct[name] != data and not name.endswith("/RECORD")] == []


@pytest.mark.slow
def test_the_metadata_is_valid_and_names_every_licence(wheel):
    raw = contents(wheel)[f"{INFO}/METADATA"]
    told = Metadata.from_email(raw, validate=True)
    assert (told.name, str(told.version)) == ("pnet_tf", pnet_tf.__version__)
    assert {canonicalize_name(name) for name in told.provides_extra} == {
        canonicalize_name(name) for name in set_up()["options.extras_require"]
    }
    plain = email.message_from_bytes(raw)
    assert plain["Description-Content-Type"] == "text/markdown" and plain.get_payload().startswith("# pnet_tf")
    assert sorted(plain.get_all("License-File")) == sorted(
        name.removeprefix(f"{INFO}/licenses/") for name in WHEEL_MUST if name.startswith(INFO)
    )


# --- installed, with no repository around: slow


def distributions(*extras):
    """What pip would bring with these extras of the package, of those that are installed here."""
    options = set_up()
    texts = [options["options"]["install_requires"], *(options["options.extras_require"][extra] for extra in extras)]
    pending = [line for text in texts for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = {}
    while pending:
        requirement = Requirement(pending.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            found[name] = importlib.metadata.distribution(name)
            pending += found[name].requires or []
    return found.values()


def environment_with(folder, wheel, *extras):
    """A virtual environment that sees the wheel and, by links, what it needs with these extras; nothing is downloaded."""
    venv.create(folder, with_pip=True)
    links = folder / "links"
    links.mkdir()
    for distribution in distributions(*extras):
        for top in {path.parts[0] for path in distribution.files if path.parts[0] != ".."} - {"__pycache__"}:
            if not (links / top).exists():
                (links / top).symlink_to(distribution.locate_file(top))
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "links.pth").write_text(f"{links}\n")
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def bare(wheel, scratch):
    return environment_with(scratch / "bare", wheel)


def console_scripts():
    lines = set_up()["options.entry_points"]["console_scripts"].splitlines()
    return sorted(line.partition("=")[0].strip() for line in lines if line.strip())


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["tf", "play"])
def test_the_wheel_plays_from_an_empty_folder(extra, wheel, scratch, tmp_path):
    there = environment_with(scratch / extra, wheel, extra)
    run(there / "pip", "check", cwd=tmp_path)
    asks = ["--model=violin", "--score=example:greensleeves_violin", "--out=greensleeves.wav"]
    run(there / "pnet-perform", *asks, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["greensleeves.wav"]
    samples, rate = soundfile.read(tmp_path / "greensleeves.wav")
    assert rate == 44100 and 30 * rate < len(samples) < 35 * rate
    assert 0.01 < samples.std() < 0.5
    where = run(there / "python", "-c", "import pnet_tf; print(pnet_tf.__file__)", cwd=tmp_path).stdout
    assert pathlib.Path(where.strip()).is_relative_to(there.parent)


@pytest.mark.slow
@pytest.mark.parametrize("name", console_scripts())
def test_every_command_answers_where_only_the_wheel_is_installed(name, bare, tmp_path):
    assert "usage: " + name in run(bare / name, "--help", cwd=tmp_path).stdout
    assert run(bare / name, "--version", cwd=tmp_path).stdout == f"{name} (pnet_tf) {pnet_tf.__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("pnet-perform --model=violin --score=example:ode_to_joy_flute --out=x.wav", "play"),
        ("pnet-export --run_dir=violin --out=model", "tf"),
        ("pnet-prepare --instrument=violin --source=pairs --out=data", "tf"),
        ("pnet-train --data=data --run_dir=run", "tf"),
        ("pnet-evaluate --model=violin --source=pairs --out=report.json", "tf"),
        ("pnet-serving-client --server=grpc://localhost:1/x --score=example:ode_to_joy_flute --out=x.wav", "serving"),
    ],
)
def test_what_is_missing_is_one_line_where_only_the_wheel_is_installed(line, extra, bare, tmp_path):
    (tmp_path / "pairs").mkdir()
    soundfile.write(tmp_path / "pairs" / "a.wav", np.sin(np.arange(3 * 44100) / 16) / 8, 44100)
    (tmp_path / "pairs" / "a.csv").write_text(f"{LABEL_COLUMNS}\n1000,90000,41,69,0,1,Quarter\n")
    program, *arguments = line.split()
    done = subprocess.run([bare / program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"{program}: ") and "Traceback" not in done.stderr, done.stderr
    assert f'pip install "pnet_tf[{extra}]"' in said, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"]
