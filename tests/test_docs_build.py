"""The site is built strictly: pages that come later join it, and one broken link or name ends it (make test-docs)."""

import os
import subprocess
import sys

import pytest

from tests import docs_site
from tests.docs_commands import copy_of_repository


def build(folder):
    """Exit code and messages of `make docs`' own command in a copy of the repository."""
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", "-b", "html", "-c", "docs/site"]
    done = subprocess.run(
        [*command, "-d", "build/doctrees", ".", "build/site"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return done.returncode, done.stderr


@pytest.mark.docs
def test_new_pages_join_the_site_and_broken_ones_end_it(tmp_path):
    copy_of_repository(tmp_path)
    for name, to in (("docs/serving.md", "data.md"), ("docs/something_new.md", "data.md"), ("CONTRIBUTING.md", "docs/data.md")):
        (tmp_path / name).write_text(f"# A page\n\nSee [the data]({to}#features).\n")
    code, said = build(tmp_path)
    assert (code, said) == (0, "")
    found, counts = docs_site.check(tmp_path / "build" / "site")
    assert found == [] and counts["pages"] > 25 and counts["links"] > 3000
    front = (tmp_path / "build" / "site" / "README.html").read_text(encoding="utf-8")
    assert all(f'href="{name}.html"' in front for name in ("docs/serving", "docs/something_new", "CONTRIBUTING", "docs/api"))
    assert front.count("<audio controls") == 4
    (tmp_path / "docs" / "serving.md").write_text("# A page\n\n[1](gone.md) [2](data.md#gone) ![3](gone.png)\n")
    module = tmp_path / "pnet_tf" / "loss.py"
    module.write_text(module.read_text().replace('"""Mean squared error', '"""Not :func:`pnet_tf.loss.gone`: mean squared error'))
    code, said = build(tmp_path)
    assert code == 1
    told = [line for line in said.splitlines() if "gone" in line]
    assert len(told) == 4, said
