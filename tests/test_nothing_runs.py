"""Nothing in a file can run, and nothing but the download command reaches a network: read off the sources, and tried."""

import ast
import pathlib
import socket

import pytest

from pnet_tf import command, perform_command, prepare

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted(path for top in ("pnet_tf", "tools") for path in (ROOT / top).glob("*.py"))

# Modules whose files are programs. inert_pickle names pickle's opcodes and answers all names with stand-ins.
PROGRAMS = {
    "pickle",
    "_pickle",
    "cPickle",
    "shelve",
    "joblib",
    "dill",
    "cloudpickle",
    "marshal",
    "yaml",
    "runpy",
    "code",
    "jsonpickle",
}
MAY_PICKLE = {"inert_pickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"load_model", "enable_unsafe_deserialization", "read_pickle", "allow_pickle", "popen", "import_module", "system"}
# A worker imports what its own parent names, once it is tied to it; no name comes from a file.
MAY_CALL = {"lanes": {"import_module"}}
NETWORK = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests", "urllib3", "httpx", "aiohttp", "pooch", "grpc"}
# download asks for what it is told to, and the client its server; the page listens. The others: names of this
# machine; quoting in a page; what a Beam runner raises.
MAY_NAME = {
    "download": {"urllib", "http", "ssl"},
    "serving_client": {"grpc", "http", "urllib"},
    "serve_command": {"socket"},
    "page_guard": {"urllib"},
    "summaries": {"socket"},
    "evaluation_page": {"urllib"},
    "preparation_beam": {"grpc"},
}


def imported(tree: ast.Module) -> set[str]:
    """Top names of all modules that a source imports anywhere."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def calls(tree: ast.Module) -> list[ast.Call]:
    """All calls of a source."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_reads_a_file_that_is_a_program(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert imported(tree) & PROGRAMS <= ({"pickle"} if path.stem in MAY_PICKLE else set())
    for call in calls(tree):
        where = f"{path.name}:{call.lineno}"
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        is_method = isinstance(call.func, ast.Attribute)
        allowed = is_method and ast.unparse(call.func) == "re.compile"
        unsafe = (METHODS if is_method else CALLS | METHODS) - MAY_CALL.get(path.stem, set())
        assert name not in unsafe or allowed, f"{where}: {name}"
        assert arguments.get("shell", "False") == "False", f"{where}: a shell"
        assert arguments.get("safe_mode", "True") == "True", f"{where}: Keras without its safe mode"
        assert arguments.get("allow_pickle", "False") == "False", f"{where}: numpy with pickles"
        if is_method and ast.unparse(call.func) in ("np.load", "numpy.load"):
            assert arguments.get("allow_pickle") == "False", f"{where}: np.load that does not forbid pickles"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_only_the_download_command_can_ask_a_network(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert imported(tree) & NETWORK <= MAY_NAME.get(path.stem, set())
    names = {getattr(call.func, "attr", "") for call in calls(tree)}
    assert not names & {"get_file", "parseURL", "urlretrieve", "create_connection", "example_audio_file"}
    if path.stem == "summaries":
        assert {call.func.attr for call in calls(tree) if ast.unparse(call.func).startswith("socket.")} == {"gethostname"}


@pytest.fixture
def no_network(monkeypatch):
    """Whoever asks for an address or a connection fails, and is kept."""
    asked = []

    def refuse(*arguments, **more):
        """Instead of a network."""
        asked.append(arguments)
        raise AssertionError(f"asked the network for {arguments}")

    for name in ("connect", "connect_ex", "sendto", "bind", "listen"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection", "create_server"):
        monkeypatch.setattr(socket, name, refuse)
    return asked


DOCTYPE = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://127.0.0.1:9/partwise.dtd">'


def test_preparing_and_performing_ask_no_network(no_network, tiny_corpus, tiny_voice, tmp_path):
    """Also where the score names an address, as all of MusicXML's do."""
    arguments = ["--instrument=violin", f"--source={tiny_corpus}", f"--out={tmp_path / 'out'}", "--workers=0"]
    arguments += ["--window_frames=64", "--validation_share=0.2"]
    assert command.run(prepare.define_flags, prepare.main, arguments) == 0
    text = (ROOT / "examples" / "greensleeves_violin.musicxml").read_text(encoding="utf-8")
    root = text.index("<score-partwise")
    (tmp_path / "a.musicxml").write_text(text[: text.index("?>") + 2] + DOCTYPE + text[root:], encoding="utf-8")
    arguments = [
        f"--model={tiny_voice}",
        f"--score={tmp_path / 'a.musicxml'}",
        f"--out={tmp_path / 'a.wav'}",
        "--iterations=0",
    ]
    assert command.run(perform_command.define_flags, perform_command.main, arguments) == 0
    assert no_network == []
