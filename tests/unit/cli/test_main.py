"""The command line itself: help, exit codes, the form of faults, colour, and what it loads."""

import importlib.metadata
import os
import pty
import subprocess
import sys

import click
import pytest
from tests.flights import command, environment, run

from seakeep.cli import _COMMANDS, _MODULES, cli

COMMANDS = sorted(_MODULES)


def every_command(group=cli, name=()):
    """Each command with the words that call it, those of the nouns too."""
    with click.Context(group) as ctx:
        for word in group.list_commands(ctx):
            found = group.get_command(ctx, word)
            if isinstance(found, click.Group):
                yield from every_command(found, (*name, word))
            else:
                yield (*name, word), found


ALL = dict(every_command())


def on_a_terminal(*arguments, **settings):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command(*arguments), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment(**settings)
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # the terminal's other end is closed
                break
            said += piece
        process.wait(60)
    finally:
        os.close(ours)
    return said.decode().replace("\r\n", "\n")


# Help


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command_under_its_intent(seakeep, flag):
    said = seakeep(flag).out
    lines = said.splitlines()
    for group, commands in _COMMANDS.items():
        start = lines.index(f"{group}:")
        for name, (_, text) in commands.items():
            assert any(line.split(maxsplit=1) == [name, text] for line in lines[start:]), name
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("words", sorted(ALL), ids=" ".join)
def test_each_command_has_help_with_its_options_explained(seakeep, words):
    said = seakeep(*words, "--help").out
    assert said.startswith(f"Usage: seakeep {' '.join(words)} ")
    found = ALL[words]
    assert found.help
    assert " ".join(found.help.split()[:3]) in " ".join(said.split())
    for option in found.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_found_by_the_name_it_has_in_the_overview(name):
    with click.Context(cli) as ctx:
        assert cli.get_command(ctx, name).name == name


@pytest.mark.parametrize("words", sorted(ALL), ids=" ".join)
def test_what_gives_data_gives_it_as_json_too(words):
    silent = {"init", "up", "serve", "demo", "verify", "create", "revoke"}
    names = {option.name for option in ALL[words].params}
    assert ("as_json" in names) is (words[-1] not in silent)


def test_help_loads_nothing_heavy():
    code = (
        "import sys, seakeep.cli\n"
        "try: seakeep.cli.main(['--help'])\n"
        "except SystemExit: print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    said = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = set(eval(said.stdout.splitlines()[-1]))
    assert not loaded & {"numpy", "duckdb", "onnxruntime", "sklearn", "pandas", "lmdb", "starlette", "uvicorn", "rich"}


def test_the_version_is_the_installed_one(seakeep):
    assert seakeep("--version").out == f"{importlib.metadata.version('seakeep')}\n"


# Exit codes


def test_without_a_command_it_shows_its_help_as_a_usage_fault(seakeep):
    said = seakeep(code=2)
    assert "Usage: seakeep [OPTIONS] COMMAND" in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tain",), "No such command 'tain'"),
        (("train", "--as-off", "2013-01-01"), "No such option"),
        (("train", "--as-of", "yesterday"), "'yesterday' is not a date or date-time"),
        (("train", "--as-of", "2013-02-30"), "'2013-02-30' is not a date"),
        (("train", "--project", "/no/such/folder"), "does not exist"),
        (("run", "show"), "Missing argument 'RUN_ID'"),
        (("run", "shwo"), "No such command 'shwo'"),
        (("parity", "--sample", "0"), "0 is not in the range"),
        (("replay-traffic", "--from", "2013-01-01"), "Missing option '--to'"),
        (("replay-traffic", "--from", "2013-02-01", "--to", "2013-02-01"), "it must be later than --from"),
        (("replay-traffic", "--from", "2013-01-01", "--to", "2013-02-01", "--share", "0"), "0.0 is not in the range"),
        (("key", "create", "ann", "--role", "king"), "'king' is not one of"),
        (("init", "no-such-table.csv", "--estimator", "x", "--label", "y", "--time", "t"), "does not exist"),
    ],
)
def test_a_wrong_call_ends_with_2_and_a_usage_line(seakeep, arguments, told):
    said = seakeep(*arguments, code=2)
    assert said.out == ""
    assert said.err.startswith("Usage: seakeep ")
    assert told in said.err


def test_a_fault_ends_with_1_and_has_error_hint_and_code(seakeep, tmp_path):
    said = seakeep("status", "--project", tmp_path, code=1)
    assert said.out == ""
    assert said.err == (
        f"error: no seakeep.toml in {tmp_path} or above it\n\n"
        "hint: run `seakeep init`, or change into a project's folder\ncode: config\n"
    )


def test_a_fault_tells_its_cause(seakeep, tmp_path):
    (tmp_path / "seakeep.toml").write_text('[project]\nname = "x"\n')
    (tmp_path / "project.py").write_text("import seakeep as sk\n\n1 / 0\n")
    said = seakeep("status", "--project", tmp_path, code=1).err.splitlines()
    assert said[0] == "error: project.py cannot be imported: project.py:3: ZeroDivisionError: division by zero"
    assert said[1] == "  cause: division by zero"


def test_a_fault_of_the_machine_is_no_traceback(seakeep, tmp_path):
    (tmp_path / "seakeep.toml").write_text('[project]\nname = "x"\n')
    (tmp_path / "project.py").mkdir()
    said = seakeep("check", "--project", tmp_path, code=1)
    assert "Traceback" not in said.err
    (tmp_path / "seakeep.toml").unlink()
    (tmp_path / "seakeep.toml").mkdir()
    assert "code: config" in seakeep("status", "--project", tmp_path, code=1).err


def test_the_project_is_found_from_a_folder_inside_it(seakeep, at, tmp_path, monkeypatch):
    inside = at("converted")[1] / ".seakeep" / "keys"
    assert seakeep("history", "--project", inside).out == seakeep("history", *at("converted")).out
    monkeypatch.chdir(inside)
    assert seakeep("history").code == 0


# In processes of their own


def test_a_closed_pipe_is_no_traceback(tmp_path):
    process = subprocess.Popen(
        ["bash", "-c", f"{sys.executable} -c 'from seakeep.cli import main; main()' --help | true"],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    _, said = process.communicate(timeout=60)
    assert said == ""


def test_it_runs_as_a_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "seakeep", "--version"], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{importlib.metadata.version('seakeep')}\n"


def test_faults_are_in_colour_on_a_terminal_and_nowhere_else(tmp_path):
    colour = "\x1b["
    assert colour in on_a_terminal("status", "--project", tmp_path)
    plain = on_a_terminal("status", "--project", tmp_path, NO_COLOR=1)
    assert colour not in plain
    assert plain == run(tmp_path, "status").err
    assert colour in on_a_terminal("status", "--project", tmp_path, NO_COLOR="")
