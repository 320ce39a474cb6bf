"""The pages of the API name modules and functions that there are; whether docstrings hold is for `make docs` to see."""

import ast
import re

import pytest

from tests.docs_pages import ROOT

OVERVIEW = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
MODULES = [
    (path, name) for path in PAGES for name in re.findall(r"<!-- api: pnet_tf\.(\w+) -->", path.read_text(encoding="utf-8"))
]
# What other code was promised: docs/api.md has to show each, and the module to have it.
PROMISED = [
    *("spec.FeatureSpec", "unet.ModelConfig", "unet.build_performance_net", "roll.rolls_from_score", "stft.log_power"),
    *("stft.magnitude_from_log_power", "stft.inverse_stft", "griffin_lim.griffin_lim", "render.perform"),
]


def names_of(module):
    """What a module defines, or takes from another one of ours."""
    tree = ast.parse((ROOT / "pnet_tf" / f"{module}.py").read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return defined | {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize(("path", "name"), MODULES, ids=lambda value: getattr(value, "stem", value))
def test_a_module_of_the_pages_exists_once_and_is_in_the_overview(path, name):
    assert (ROOT / "pnet_tf" / f"{name}.py").exists()
    assert [other for other, same in MODULES if same == name] == [path]
    assert f"[`{name}`](api/{path.stem}.md#{name})" in OVERVIEW


def test_the_overview_names_no_other_modules():
    assert set(re.findall(r"\[`(\w+)`\]\(api/", OVERVIEW)) == {name for _, name in MODULES}


@pytest.mark.parametrize("promise", PROMISED)
def test_what_was_promised_is_shown_and_there(promise):
    module, name = promise.split(".")
    assert f"{promise}(" in OVERVIEW
    assert name in names_of(module)
    assert module in {other for _, other in MODULES}
