"""The house holds together: who imports whom, every module tested, every command answering, pins within ranges."""

import ast
import configparser
import fnmatch
import pathlib
import re
import subprocess
import sys
import urllib.request

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pnet_tf"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")

SCORE = {"errors", "limits", "spec", "remote", "files", "score*"}
CORPUS = {"instruments", "corpus", "musicnet*", "own_pairs", "inert_pickle"}
SHARDS = {"records", "shard_set", "splits", "files"}
RUN = {"run_folder", "checkpoint", "schedule", "settings", "files"}
EVALUATION = {"evaluation_*", "evaluation", "metrics*", "audio_file", "wav_file", "files"}
LOOP = {"dataset", "loss", "unet", "train_step", "cluster", "learner", "validation"}

# Which rooms of the package a room may import from: docs/architecture.md in a form that a test can read. The first
# line that matches a module's name counts, so a new module needs a line here before it may import anything.
MAY_IMPORT = {
    "errors": set(),
    "remote": {"errors"},
    "limits": {"errors"},
    "files": {"errors", "remote"},
    "spec": {"errors", "remote", "files"},
    "command": {"errors"},
    "instruments": set(),
    "score*": SCORE,
    "audio_file": {"errors", "limits", "spec"},
    "wav_file": {"errors", "spec", "files", "audio_file"},
    "loudness": set(),
    "limiter": set(),
    "mastering": {"errors", "audio_file", "wav_file", "loudness", "limiter"},
    "inert_pickle": {"errors"},
    "corpus": SCORE | {"audio_file", "instruments"},
    "own_pairs": SCORE | CORPUS | {"audio_file"},
    "musicnet*": SCORE | CORPUS | {"audio_file", "command"},
    "download*": {"errors", "command", "files", "musicnet*"},
    "alignment": SCORE,
    "roll": SCORE,
    "stft": {"spec"},
    "records": {"errors", "spec"},
    "shard_set": {"errors", "spec", "remote", "records", "files"},
    "splits": {"errors", "spec", "shard_set"},
    "lanes": {"errors"},
    "prepar*": SCORE | CORPUS | SHARDS | {"audio_file", "alignment", "roll", "stft", "lanes", "prepar*", "command", "processors"},
    "inspect_shards": {"errors", "spec", "remote", "command"} | SHARDS,
    "augmentation": {"spec"},
    "dataset": {"errors", "spec", "augmentation"} | SHARDS,
    "model_config": {"errors"},
    "note_decay": set(),
    "blocks": {"model_config"},
    "note_spectra": {"blocks", "note_decay"},
    "unet": {"spec", "blocks", "model_config", "note_decay", "note_spectra"},
    "loss": {"spec"},
    "processors": set(),
    "light_gate": {"spec"},
    "light_phase": {"spec", "processors"},
    "light_griffin_lim": {"spec", "light_phase", "processors"},
    "onnx_graph": set(),
    "light_network": {"errors", "spec", "model_config", "note_decay", "onnx_graph", "processors"},
    "phase_start": {"spec", "light_phase"},
    "griffin_lim": {"spec", "stft", "phase_start", "light_griffin_lim"},
    "summaries": {"spec", "stft", "griffin_lim", "window_picture"},
    "schedule": set(),
    "baseline": {"errors", "spec"},
    "checkpoint": {"errors", "spec", "schedule", "files"},
    "run_folder": {"errors", "spec", "model_config", "files"},
    "settings": {"model_config"},
    "cluster": {"errors", "dataset"},
    "train_step": {"loss"},
    "trained": {"errors", "spec", "unet", "model_config", "note_decay", "voice_folder"} | RUN,
    "learner": {"errors", "spec", "unet", "cluster", "train_step", "trained"} | RUN,
    "validation": {"baseline", "dataset", "loss", "train_step", "cluster"} | SHARDS,
    "stop_request": set(),
    "progress_line": set(),
    "device_memory": {"errors"},
    "memory_probe": {"spec", "settings", "cluster", "learner", "loss", "train_step", "lanes"},
    "trainer": {"errors", "summaries", "stop_request", "progress_line", "device_memory", "memory_probe"} | LOOP | SHARDS | RUN,
    "level_range": {"dataset"} | SHARDS,
    "peak_levels": {"errors", "dataset", "level_range"} | SHARDS,
    "training": {"errors", "dataset", "instruments", "model_config", "voice_folder", "cluster", "level_range", "stop_request"}
    | {"trained", "trainer"}
    | SHARDS
    | RUN,
    "train": {"errors", "command", "corpus", "remote", "settings", "stop_request", "training", "unet"},
    "xla_start": set(),
    "windows": set(),
    "hiss_gate": {"spec", "light_gate"},
    "inversion_compiled": {"spec", "stft", "griffin_lim", "xla_start"},
    "inversion": {"spec", "light_griffin_lim", "inversion_compiled"},
    "voice_level": SCORE | {"roll", "loudness"},
    "serving_messages": set(),
    "serving_warm_up": {"spec", "serving_messages"},
    "serving_client": SCORE | {"command", "example_scores", "mastering", "roll", "serving_messages", "wav_file"},
    "export": {"errors", "spec", "stft", "griffin_lim", "hiss_gate", "voice_folder", "voice_level", "trained"}
    | {"serving_warm_up", "dataset", "peak_levels", "remote", "shard_set"}
    | RUN,
    "export_command": {"errors", "remote", "command", "export"},
    "voice_folder": {"errors", "spec", "unet", "model_config", "note_decay", "files"},
    "voice": {"spec"},
    "savedmodel": {"errors", "files", "spec", "voice", "voice_folder"},
    "runtimes": {"errors", "light_network", "savedmodel", "voice", "voice_folder"},
    "render": SCORE | {"roll", "voice", "windows", "light_*", "inversion"},
    "panels": {"spec"},
    "picture": SCORE | {"panels"},
    "window_picture": {"spec", "panels"},
    "example_scores": {"errors"},
    "perform*": SCORE
    | {"instruments", "wav_file", "files", "roll", "runtimes", "voice", "render", "loudness", "mastering", "picture", "panels"}
    | {"command", "perform*", "example_scores"},
    "page_words": SCORE | {"instruments", "panels"},
    "page_reading": SCORE | {"page_words"},
    "page_live": {"spec", "panels"},
    "page_session": {"errors", "page_live"},
    "page_guard": set(),
    "page_routes": {"page_guard", "page_live", "page_session", "page_words"},
    "page_voices": SCORE
    | {"mastering", "perform_fit", "perform_sound", "performer", "render", "runtimes", "voice", "voice_folder"},
    "page*": SCORE | {"page_*", "example_scores"},
    "serve_command": {"errors", "command", "page", "page_*"},
    "bench": {"errors", "command", "files", "bench_*"},
    "curves": {"errors", "command", "picture"},
    "bench_timing": set(),
    "bench_*": {"*"},  # they measure every stage
    "bootstrap": set(),
    "metrics*": SCORE | {"roll", "metrics*"},
    "soundfont": SCORE | {"audio_file"},
    "evaluation_plan": {"errors", "remote", "corpus"},
    "evaluation_picture": SCORE | {"roll", "panels", "picture", "metrics*"},
    "evaluation_controls": SCORE | EVALUATION | {"preparer", "baseline", "roll", "inversion"},
    "evaluat*": SCORE | CORPUS | EVALUATION
    | {"render", "savedmodel", "voice", "voice_folder", "soundfont", "bootstrap", "command"},
}
SOUNDING = ["savedmodel", "voice_folder", "render", "perform*", "picture", "panels", "loudness", "limiter", "mastering"]
SOUNDING += ["wav_file", "windows", "hiss_gate", "inversion*", "xla_start", "voice", "runtimes", "light_*", "onnx_graph"]
SOUNDING += ["page*", "serve_command"]
LEARNING = [
    *sorted((CORPUS | SHARDS | RUN) - {"files", "instruments"}),
    *("download*", "alignment", "lanes", "prepar*", "inspect_shards", *sorted(LOOP - {"unet"}), "baseline"),
    "peak_levels",
    *("level_range", "summaries", "window_picture", "train*", "stop_request", "progress_line", "device_memory", "memory_probe"),
    *("export*", "metrics*", "bootstrap", "soundfont", "evaluat*"),
]
WITHOUT_TENSORFLOW = ["model_config", "errors", "limits", "spec", "command", "score*", "roll", "musicnet*", "own_pairs", "corpus"]
WITHOUT_TENSORFLOW += ["light_*", "note_decay", "onnx_graph", "processors", "voice"]
WITHOUT_TENSORFLOW += ["picture", "panels", "window_picture", "loudness", "limiter", "mastering"]
WITHOUT_TENSORFLOW += ["metrics*", "bootstrap", "soundfont"]
WITHOUT_TENSORFLOW += ["serving_messages", "serving_client", "example_scores"]
WITHOUT_TENSORFLOW += ["evaluation_plan", "evaluation_picture"]
WITHOUT_TENSORFLOW += ["page_words", "page_reading", "page_live", "page_session", "page_routes", "page_guard"]
KERAS_ALONE = ["blocks", "note_spectra", "unet"]
TENSORFLOW = {"tensorflow", "tensorflow_io", "keras"}


def matches(module: str, patterns) -> bool:
    return any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns)


def imports(module: str, *, inside_functions: bool = True) -> set[str]:
    """Dotted names that a module imports, `pnet_tf.x` for its rooms; what only a type checker reads is left out."""
    found = set()
    pending = list(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative imports hide what the table shows"
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "pnet_tf" else {node.module}
            )
        pending.extend(ast.iter_child_nodes(node))
    return found


def rooms(module: str) -> set[str]:
    """The rooms that a module imports anywhere, inside functions too."""
    return {name.split(".")[1] for name in imports(module) if name.startswith("pnet_tf.")} & set(MODULES)


def reachable(module: str) -> set[str]:
    """The rooms that a module imports, and those that they import."""
    found, pending = set(), [module]
    while pending:
        new = rooms(pending.pop()) - found
        found |= new
        pending.extend(new)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_what_the_table_allows(module):
    allowed = next((rooms for pattern, rooms in MAY_IMPORT.items() if fnmatch.fnmatchcase(module, pattern)), None)
    assert allowed is not None, f"pnet_tf/{module}.py has no line in the import table"
    assert {room for room in rooms(module) if not matches(room, allowed)} == set()


def test_the_sounding_arm_never_imports_the_learning_arm():
    sounding = [module for module in MODULES if matches(module, SOUNDING)]
    assert sounding
    assert {
        module: learning for module in sounding if (learning := [r for r in reachable(module) if matches(r, LEARNING)])
    } == {}


def test_rooms_do_not_import_each_other_in_a_circle():
    assert [module for module in MODULES if module in reachable(module)] == []


@pytest.mark.parametrize("module", [module for module in MODULES if matches(module, WITHOUT_TENSORFLOW)])
def test_a_light_room_imports_no_tensorflow(module):
    for room in {module} | reachable(module):
        outside = {name.partition(".")[0] for name in imports(room, inside_functions=False)}
        assert not outside & TENSORFLOW, f"{module} imports {outside & TENSORFLOW} through {room}"


@pytest.mark.parametrize("module", [module for module in MODULES if matches(module, KERAS_ALONE)])
def test_a_room_of_the_model_runs_on_any_backend_of_keras(module):
    outside = {name.partition(".")[0] for name in imports(module)} - set(sys.stdlib_module_names)
    assert outside <= {"keras", "pnet_tf"}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_file(module):
    path = ROOT / "tests" / f"test_{module}.py"
    assert path.exists(), f"pnet_tf/{module}.py has no {path.name}"
    assert re.search(r"^ *def test_", path.read_text(encoding="utf-8"), re.MULTILINE), f"{path.name} tests nothing"


# --- commands

# Not an ImportError: a command that catches one would hide that it asked.
HELP = """
import runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tensorflow", "tensorflow_io", "keras"}:
            raise SystemError(name + " imported for --help")

sys.meta_path.insert(0, Refuse())
kind, target = sys.argv[1:3]
sys.argv[:] = [target, "--help"]
if kind == "console":
    module, function = target.split(":")
    getattr(__import__(module, fromlist=[function]), function)()
elif kind == "module":
    runpy.run_module(target, run_name="__main__", alter_sys=True)
else:
    runpy.run_path(target, run_name="__main__")
"""


def console_scripts() -> dict[str, str]:
    lines = set_up()["options.entry_points"]["console_scripts"].split("\n")
    return {name.strip(): target.strip() for name, target in (line.split("=") for line in lines if line.strip())}


def set_up() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def commands() -> list[tuple[str, str]]:
    """Every way to start something, of those that exist: console entries, `python -m` modules, scripts."""
    modules = [m for m in MODULES if '__name__ == "__main__"' in (PACKAGE / f"{m}.py").read_text(encoding="utf-8")]
    consoles = [target for target in console_scripts().values() if target.split(":")[0].split(".")[1] in MODULES]
    return [
        *(("console", target) for target in consoles),
        *(("module", f"pnet_tf.{module}") for module in modules),
        *(("script", str(path.relative_to(ROOT))) for path in sorted((ROOT / "tools").glob("*.py"))),
    ]


@pytest.mark.parametrize(("kind", "target"), commands())
def test_help_needs_no_tensorflow(kind, target):
    done = subprocess.run(
        [sys.executable, "-c", HELP, kind, target], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(("name", "target"), console_scripts().items())
def test_every_console_script_has_its_function(name, target):
    module, function = target.split(":")
    path = ROOT / (module.replace(".", "/") + ".py")
    assert path.exists(), f"setup.cfg promises {name}, and there is no {target}"
    assert f"def {function}(" in path.read_text(encoding="utf-8")


def test_tensorboard_starts_and_answers(tmp_path):
    """It imports pkg_resources, which setuptools 81 and later no longer have."""
    program = pathlib.Path(sys.executable).with_name("tensorboard")
    arguments = ["--logdir", str(tmp_path), "--host", "127.0.0.1", "--port", "0", "--load_fast=false"]
    with subprocess.Popen(
        [str(program), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if address := re.search(r"http://127\.0\.0\.1:\d+/", line):
                    break
            else:
                pytest.fail("".join(said))
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(address[0], timeout=30) as answer:
                assert answer.status == 200
                assert b"TensorBoard" in answer.read()
        finally:
            process.terminate()
            process.wait(timeout=30)


# --- versions


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9_.-]+)==([^\s;]+)", line) for line in lines if line and line[0] != "#"]
    assert all(found), "requirements.txt holds exact pins and comments alone"
    return {canonicalize_name(pin[1]): pin[2] for pin in found}


def ranges(*groups: str) -> list[Requirement]:
    parser = set_up()
    lines = [parser["options"]["install_requires"]] if "base" in groups else []
    lines += [parser["options.extras_require"][group] for group in groups if group != "base"]
    found = [
        Requirement(line) for text in lines for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"
    ]
    return [requirement for requirement in found if requirement.name != "pnet_tf"]


def test_the_pins_lie_in_the_ranges_of_the_package():
    wanted = ranges("base", "tf", "play", "beam", "dev")
    assert len(wanted) > 15
    pinned = pins()
    wrong = [str(r) for r in wanted if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0"))]
    assert wrong == []


def test_what_attacks_need_is_pinned_apart_from_what_tests_need():
    lines = (ROOT / "requirements-attack.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and line[0] != "#")
    assert {r.name: r.specifier.contains(pinned[r.name]) for r in ranges("attack")} == {"atheris": True}
    assert not set(pinned) & set(pins())


def test_what_the_site_needs_is_pinned_apart_from_what_tests_need():
    lines = (ROOT / "requirements-docs.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and line[0] != "#")
    wanted = [requirement for requirement in ranges("docs")]
    assert len(wanted) >= 4
    assert [str(r) for r in wanted if not r.specifier.contains(pinned[r.name])] == []
    assert not set(pinned) & set(pins())


def test_what_the_page_and_its_browser_tests_need_is_pinned_apart_too():
    names = ("requirements-demo.txt", "requirements-browser.txt")
    lines = [line for name in names for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    pinned = dict(line.split("==") for line in lines if line and line[0] != "#")
    wanted = [requirement for requirement in ranges("demo") if requirement.name != "pnet_tf"]
    assert {r.name: r.specifier.contains(pinned[r.name]) for r in wanted} == {"gradio": True}
    assert set(pinned) == {"gradio", "playwright"} and not set(pinned) & set(pins())


def test_the_base_needs_no_tensorflow():
    assert not {canonicalize_name(requirement.name) for requirement in ranges("base")} & TENSORFLOW


def test_the_environment_of_the_tests_is_the_pinned_one_where_it_matters():
    """Goldens and the claims about tensorflow-io hold for these versions."""
    import importlib.metadata

    names = ("tensorflow", "tensorflow-io", "keras", "numpy", "librosa", "music21", "tensorboard")
    assert {name: importlib.metadata.version(name) for name in names} == {name: pins()[name] for name in names}
