import stat

import pytest

from seakeep.config import FILE_NAME, Home, RecorderSettings, ServingSettings, find_project, load_settings
from seakeep.errors import ConfigError, PlatformError, ProjectFaults

SMALLEST = '[project]\nname = "flights"\n'


@pytest.fixture
def load(tmp_path):
    def loaded(text=SMALLEST, **environ):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / FILE_NAME).write_bytes(content)
        return load_settings(tmp_path, {f"SEAKEEP_{name}": value for name, value in environ.items()})

    return loaded


@pytest.fixture
def faults(load):
    def found(text=SMALLEST, **environ):
        with pytest.raises(ProjectFaults) as raised:
            load(text, **environ)
        return [(fault.line, fault.message, fault.hint) for fault in raised.value.faults]

    return found


def test_a_name_is_all_a_project_must_say(load):
    settings = load()
    assert (settings.project.name, settings.project.module, settings.project.home) == (
        "flights",
        "project.py",
        ".seakeep",
    )
    assert settings.serving == ServingSettings()
    assert (settings.serving.host, settings.dashboard.host) == ("127.0.0.1", "127.0.0.1")


def test_every_setting_of_the_file_is_read(load):
    settings = load(
        SMALLEST
        + '[serving]\nhost = "0.0.0.0"\nport = 9\nworkers = 3\nclock = "request"\n[dashboard]\nport = 10\n'
        + "[recorder]\ncommit_ms = 7\nqueue_mb = 0.5\nencrypt = true\n"
    )
    assert settings.serving == ServingSettings(host="0.0.0.0", port=9, workers=3, clock="request")
    assert settings.dashboard.port == 10
    assert settings.recorder == RecorderSettings(commit_ms=7, queue_mb=0.5, encrypt=True)


def test_settings_cannot_be_changed(load):
    with pytest.raises(AttributeError):
        load().serving.port = 1


@pytest.mark.parametrize(
    ("name", "value", "section", "key", "expected"),
    [
        ("SERVING__PORT", "9000", "serving", "port", 9000),
        ("SERVING__HOST", "0.0.0.0", "serving", "host", "0.0.0.0"),
        ("SERVING__HOST", '"::1"', "serving", "host", "::1"),
        ("SERVING__CLOCK", "request", "serving", "clock", "request"),
        ("RECORDER__COMMIT", "each", "recorder", "commit", "each"),
        ("RECORDER__ENCRYPT", "true", "recorder", "encrypt", True),
        ("PROJECT__HOME", "/var/lib/seakeep", "project", "home", "/var/lib/seakeep"),
        ("PROJECT__NAME", "2024", "project", "name", "2024"),
        ("PROJECT__NAME", "true", "project", "name", "true"),
        ("PROJECT__NAME", "1979-05-27", "project", "name", "1979-05-27"),
        ("PROJECT__NAME", "çapa 🛥", "project", "name", "çapa 🛥"),
        ("PROJECT__NAME", "", "project", "name", ""),
    ],
)
def test_the_environment_comes_before_the_file(load, name, value, section, key, expected):
    text = SMALLEST + '[serving]\nport = 1\nhost = "other"\n[recorder]\nencrypt = false\n'
    assert getattr(getattr(load(text, **{name: value}), section), key) == expected


def test_the_environment_alone_can_name_the_project(load):
    assert load("", PROJECT__NAME="x").project.name == "x"


def test_other_variables_are_not_settings(load):
    assert load(HOME="/x", SERVING="9").serving.port == 8080


def test_unless_told_otherwise_the_environment_of_the_process_counts(tmp_path, monkeypatch):
    (tmp_path / FILE_NAME).write_text(SMALLEST)
    monkeypatch.setenv("MY_SEAKEEP_SERVING__WORKERS", "9")
    monkeypatch.setenv("SEAKEEP_SERVING__PORT", "7")
    serving = load_settings(tmp_path).serving
    assert (serving.port, serving.workers) == (7, 2)


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("", 1, "section [project] is missing", "name ="),
        ("[project]\n", 1, "setting 'name' is missing in [project]", "add name = ..."),
        ("[project]\nname = 7\n", 2, "project.name = 7: expected `str`, got `int`", ""),
        (SMALLEST + "[servng]\nport = 1\n", 3, "unknown section [servng]", "did you mean 'serving'?"),
        (SMALLEST + "[zzz]\n", 3, "unknown section [zzz]", "known: project, serving, dashboard, recorder"),
        ("serving = 3\n" + SMALLEST, 1, "'serving' must be a section, [serving]", ""),
        (SMALLEST + "\n[serving] # ours\n\nprot = 1\n", 6, "unknown setting 'prot' in [serving]", "'port'"),
        (SMALLEST + "[ serving ]\nport = '1'\n", 4, "serving.port = '1': expected `int`, got `str`", ""),
        (SMALLEST + "[serving]\nport = true\n", 4, "serving.port = True: expected `int`, got `bool`", ""),
        (SMALLEST + "[serving]\nport = -1\n", 4, "serving.port = -1: expected `int` >= 0", ""),
        (SMALLEST + "[serving]\nport = 65536\n", 4, "serving.port = 65536: expected `int` <= 65535", ""),
        (SMALLEST + "[serving]\nworkers = 0\n", 4, "serving.workers = 0: expected `int` >= 1", ""),
        (SMALLEST + "[serving]\nmax_rows = -1\n", 4, "serving.max_rows = -1: expected `int` >= 1", ""),
        (SMALLEST + '[serving]\nclock = "sun"\n', 4, "serving.clock = 'sun': invalid enum value 'sun'", ""),
        (SMALLEST + "[recorder]\nsegment_mb = 0\n", 4, "recorder.segment_mb = 0: expected `int` >= 1", ""),
        (SMALLEST + "[recorder]\nencrypt = 1\n", 4, "recorder.encrypt = 1: expected `bool`, got `int`", ""),
        (SMALLEST + "[recorder]\nqueue_mb = 0\n", 4, "recorder.queue_mb = 0: expected `float` > 0.0", ""),
    ],
)
def test_a_fault_has_its_line_and_its_cause(faults, text, line, message, hint):
    ((found_line, found, found_hint),) = faults(text)
    assert (found_line, found) == (line, message)
    assert hint in found_hint


def test_all_faults_are_found_at_once(faults):
    found = faults("[serving]\nport = 'a'\nwrong = 1\n[recorder]\ncommit_ms = 0\n[nothing]\n")
    assert [line for line, _, _ in found] == [1, 2, 3, 5, 6]


def test_the_same_key_in_two_sections_has_its_own_line(faults):
    text = SMALLEST + "[serving]\nport = 1\n[dashboard]\nport = 'x'\n"
    assert [line for line, _, _ in faults(text)] == [6]


def test_what_the_environment_sets_wrongly_names_the_variable(faults):
    ((_, message, hint),) = faults(SERVING__PORT="eighty")
    assert message == "serving.port = 'eighty': expected `int`, got `str`"
    assert hint == "the environment sets it: SEAKEEP_SERVING__PORT"
    ((_, _, hint),) = faults(SERVING__PROT="1")
    assert hint == "the environment sets it: SEAKEEP_SERVING__PROT; did you mean 'port'?"


def test_the_environment_cannot_set_what_is_no_section(faults):
    ((_, message, _),) = faults("serving = 3\n" + SMALLEST, SERVING__PORT="1")
    assert message == "'serving' must be a section, [serving]"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b'[project]\nname = "a\n', 2, "not valid TOML"),
        (b"[project]\nname\n", 2, "not valid TOML"),
        (b"[project]\nname = 1\nname = 2\n", 3, "not valid TOML"),
        (b'[project]\nname = """\nnever closed\n', 3, "not valid TOML"),
        (b'[project]\nname = "fl\xefghts"\n', 2, "not UTF-8"),
        (b"\xff\xfe[\x00", 1, "not UTF-8"),
    ],
)
def test_what_is_no_toml_has_its_line(faults, text, line, message):
    ((found_line, found, _),) = faults(text)
    assert found_line == line
    assert message in found


def test_lines_are_counted_as_editors_count_them(faults):
    assert faults(SMALLEST + "# \u2028 \u0085\n[serving]\nport = 'x'\n")[0][0] == 5


def test_windows_line_ends_are_fine(faults, load):
    assert load(SMALLEST.replace("\n", "\r\n")).project.name == "flights"
    assert faults((SMALLEST + "[serving]\nport = 'x'\n").replace("\n", "\r\n"))[0][0] == 4


def test_a_folder_without_settings_is_no_project(tmp_path):
    with pytest.raises(ConfigError, match="No such file") as raised:
        load_settings(tmp_path, {})
    assert "seakeep init" in raised.value.hint


def test_the_project_is_the_nearest_folder_with_settings(tmp_path, monkeypatch):
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "a" / "inner"
    inner.mkdir(parents=True)
    (outer / FILE_NAME).write_text(SMALLEST)
    assert find_project(inner) == outer
    (inner / FILE_NAME).write_text(SMALLEST)
    assert find_project(inner) == inner
    assert find_project(inner / FILE_NAME) == inner
    monkeypatch.chdir(inner)
    assert find_project(type(inner)()) == inner


def test_a_folder_of_that_name_is_not_settings(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigError, match=r"no seakeep\.toml in") as raised:
        find_project(tmp_path)
    assert "seakeep init" in raised.value.hint


def test_home_is_made_for_its_owner_alone_and_knows_its_layout(tmp_path):
    home = Home(tmp_path / "a" / ".seakeep")
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    places = {path for path in vars(home).values() if path != home.root}
    assert len(places) == len(vars(home)) - 1
    assert all(path.is_relative_to(home.root) for path in places)
    assert list(home.root.iterdir()) == []
    assert Home(home.root).database == home.database


def test_a_home_that_cannot_be_made_is_a_clear_fault(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(PlatformError, match="cannot make the folder") as raised:
            Home(root)
        assert "project.home" in raised.value.hint
