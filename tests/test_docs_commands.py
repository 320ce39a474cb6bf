"""Every block of commands in the documents is run, or excused by name; make test-slow runs them, make test reads them."""

import configparser
import pathlib
import re
import shutil

import pytest
from test_house import console_scripts

from tests import docs_commands
from tests.docs_commands import SHELL, WrongCommentError, blocks_of, commands_of, fate_of, programs_of, run_block, script_of
from tests.docs_pages import ROOT, Block, Page, pages

BLOCKS = [block for path in pages() for block in blocks_of(path)]
OURS = {path.stem: path for path in (*(ROOT / "tools").glob("*.py"), *(ROOT / "pnet_tf").glob("*.py"))}
# What a machine that runs tests need not have, and what the shell has.
FOREIGN = {"sed", "$EDITOR", "docker", "curl", "srun", "kubectl", "pip", "tensorboard", "export", "cd", ".", "source"}


def name_of(block):
    return block.place


@pytest.mark.parametrize("block", BLOCKS, ids=name_of)
def test_a_block_is_run_or_excused(block):
    fate = fate_of(block)
    if fate.kind == "run by":
        target = fate.told.removeprefix("make ")
        if target != fate.told:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        elif target.endswith(".md"):
            assert block.text in [other.text for other in blocks_of(ROOT / target) if fate_of(other).kind == "run"]
        else:
            assert (ROOT / target).exists()


@pytest.mark.parametrize("block", BLOCKS, ids=name_of)
def test_what_stands_in_for_something_stands_in_for_something_on_the_page(block):
    rules, programs = fate_of(block).rules, [p for c in commands_of(block) for p in programs_of(c)]
    assert [value for value in rules["instead"] if value.split(" -> ")[0] not in block.text] == []
    assert [value for value in rules["add"] if value.split(" ")[0] not in programs] == []
    skipped = [value.partition(" (")[0] for value in rules["skip"]]
    assert [start for start in skipped if not any(c.startswith(start) for c in commands_of(block))] == []
    assert all(re.search(r"\(.{10,}\)$", value) for value in rules["skip"])


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in SHELL], ids=name_of)
def test_a_block_starts_programs_that_there_are(block):
    for program in (program for command in commands_of(block) for program in programs_of(command)):
        ours = (ROOT / program).exists() or (ROOT / f"{program.replace('.', '/')}.py").exists() or program in console_scripts()
        assert ours or program in FOREIGN or program[0] == "$" or shutil.which(program), program


def test_no_block_of_commands_hides_behind_another_language():
    others = [block for path in pages() for block in Page(path).blocks() if block.language not in (*SHELL, "python", "yaml")]
    assert others
    assert [b.place for b in others if re.search(r"^(\$ |python |make |pip |pnet-|docker )", b.text, re.MULTILINE)] == []


def test_every_target_and_every_extra_in_the_documents_exists():
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages())
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {first or second for first, second in re.findall(r"`make ([\w-]+)|^make ([\w-]+)", text, re.MULTILINE)}
    assert named and named <= targets
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = {name for names in re.findall(r"pnet_tf\[([\w,]+)\]", text) for name in names.split(",")}
    assert extras and extras <= set(parser["options.extras_require"])


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in pages() if blocks_of(p)], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(path, tmp_path):
    docs_commands.copy_of_repository(tmp_path)
    for block in blocks_of(path):
        if fate_of(block).kind == "run":
            run_block(block, tmp_path)
    shutil.rmtree(tmp_path)


# --- the runner itself


def block(comment, text="echo one\n", language="sh"):
    return Block(pathlib.Path("page.md"), 1, language, text, comment)


@pytest.mark.parametrize("comment", ["", "a remark", "run\nwhatever: x", "not run: short", "run\nfirst:", "run by hand"])
def test_a_comment_that_says_nothing_is_refused(comment):
    with pytest.raises(WrongCommentError, match="page.md:1"):
        fate_of(block(comment))


def test_what_comments_say():
    assert fate_of(block("not run: needs a cluster of\n  machines")).told == "needs a cluster of machines"
    assert fate_of(block("run by make demo, under other names")).told == "make demo"
    assert fate_of(block("run\nleaves: a b\nleaves: c")).rules["leaves"] == ["a b", "c"]


def test_commands_are_changed_as_their_comment_says():
    text = "python -m pnet_tf.train --data=DIR \\\n    --steps=9\n# a remark\npython tools/perform.py --score=DIR\ncurl x\n"
    rules = fate_of(block("run\ninstead: DIR -> d\nadd: pnet_tf.train --steps=1\nskip: curl (no network here)")).rules
    assert script_of(block("run", text), rules).splitlines() == [
        "python -m pnet_tf.train --data=d --steps=9 --steps=1",
        "python tools/perform.py --score=d",
    ]


def test_of_a_console_what_follows_the_prompt_is_run(tmp_path):
    run_block(block("run\nleaves: a", "$ touch b\n$ echo 1 > a\nsaid\n", "console"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("comment", "text", "told"),
    [
        ("run", "false\ntrue\n", "exit code 1"),
        ("run\nleaves: gone", "true\n", "no gone"),
        ("run\nuntil: ready", "echo steady\n", "never said 'ready'"),
        ("run", "echo Traceback\n", "Traceback"),
        ("run\nfirst: false", "true\n", "exit code 1"),
    ],
)
def test_a_block_that_fails_is_told(comment, text, told, tmp_path):
    with pytest.raises(AssertionError, match=told):
        run_block(block(comment, text), tmp_path)


def test_a_block_that_does_not_end_is_stopped_when_it_has_said_enough(tmp_path):
    run_block(block("run\nuntil: ready", "echo ready; sleep 100\n"), tmp_path)


def test_python_is_run_as_python(tmp_path):
    run_block(block("run\nleaves: a", "from pathlib import Path\n\nPath('a').write_text('''x''')\n", "python"), tmp_path)


def test_the_table_names_every_block(capsys):
    assert docs_commands.main() == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == len(BLOCKS) and last.startswith(f"{len(BLOCKS)} blocks: ")
