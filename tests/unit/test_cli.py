from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from driverapi import cli, errors
from driverapi.cli import demo as demo_command
from driverapi.cli.group import group
from driverapi.demo import Observer, Phase, Report
from driverapi.leftovers import Left


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


def report(**changes: object) -> Report:
    one = Report(2, "bridge")
    one.phases = {
        "network": Phase(1, 0.25),
        "attach": Phase(2, 0.5),
        "ping": Phase(2, 0.004),
        "detach": Phase(2, 0.0),
        "drain": Phase(2, 1.0),
    }
    one.up = one.reachable = 2
    one.made = Left(3, 2, 6)
    one.round_trips = [0.001] * 8
    for name, value in changes.items():
        setattr(one, name, value)
    return one


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The demo, without namespaces of its own: nothing of these tests reaches the kernel."""
    entered: list[str] = []
    monkeypatch.setattr(demo_command, "_enter_private_namespaces", lambda: entered.append("entered"))
    return entered


def runs(monkeypatch: pytest.MonkeyPatch, outcome: Report | BaseException) -> list[tuple[int, str]]:
    calls = []

    def run(endpoints: int, driver: str, *, observer: Observer) -> Report:
        calls.append((endpoints, driver))
        observer.begin("attach", endpoints)
        observer.advance(1)
        if isinstance(outcome, BaseException):
            raise outcome
        observer.end()
        return outcome

    monkeypatch.setattr(demo_command, "run", run)
    return calls


def test_help_names_the_commands_and_imports_none() -> None:
    program = (
        "import sys; from driverapi.cli.group import group\n"
        "try: group(['--help'], prog_name='driverapi')\n"
        "except SystemExit as end: print(end.code)\n"
        "heavy = {'driverapi.cli.demo', 'driverapi.cli.bench', 'rich', 'netaddr', 'pyroute2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *text, status, imported = done.stdout.splitlines()
    assert (status, imported) == ("0", "[]")
    commands = [line.split()[0] for line in text[text.index("Commands:") + 1 :]]
    assert commands == ["bench", "demo", "doctor", "endpoint", "network", "pool", "sandbox", "serve", "top"]


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_the_extra(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "pip install 'driverapi[cli]'" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--endpoints", "0"],
        ["demo", "--endpoints", "-5"],
        ["demo", "--endpoints", "60001"],
        ["demo", "--endpoints", "many"],
        ["demo", "--endpoints", "1.5"],
        ["demo", "--endpoints"],
        ["demo", "--driver"],
        ["demo", "--fast"],
        ["demo", "200"],
        ["nonsense"],
    ],
)
def test_usage_errors(arguments: list[str], here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = runs(monkeypatch, report())
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert result.stdout == ""
    assert not here, "nothing is done before the options are known to be right"
    assert not calls


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("netwrk ls", "network"),
        ("network delete web", "rm"),
        ("endpoint list", "ls"),
        ("sandbox inspct box", "inspect"),
        ("pool delete", None),
        ("network xyzzy", None),
    ],
)
def test_a_slip_in_a_subcommand(words: str, meant: str | None) -> None:
    result = invoke(*words.split())
    assert result.exit_code == 2
    assert "No such command" in result.stderr
    assert ("did you mean" in result.stderr) == (meant is not None)
    assert meant is None or f"did you mean {meant!r}?" in result.stderr


def test_defaults(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = runs(monkeypatch, report())
    result = invoke("demo")
    assert (result.exit_code, result.stderr) == (0, "")
    assert calls == [(1000, "bridge")]
    assert here == ["entered"]


def test_json_is_one_document(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = runs(monkeypatch, report())
    result = invoke("demo", "--endpoints", "2", "--json")
    assert calls == [(2, "bridge")]
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document["endpoints"] == 2
    assert document["driver"] == "bridge"
    assert document["phases"]["attach"] == {"seconds": 0.5, "per_second": 4.0}
    assert document["phases"]["detach"] == {"seconds": 0.0, "per_second": 0.0}
    assert list(document["phases"]) == ["network", "attach", "ping", "detach", "drain"]
    assert document["reachable"] == 2
    assert document["left"] == {"links": 0, "namespaces": 0, "addresses": 0}
    assert document["pings"] == {"sent": 8, "answered": 8, "median_seconds": 0.001, "max_seconds": 0.001}


def test_table(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, report())
    result = invoke("demo", "--endpoints", "2")
    assert result.exit_code == 0
    for piece in ("2 of 2 sandboxes", "4 endpoints", "0 links, 0 namespaces, 0 addresses", "8 of 8 pings"):
        assert piece in result.stdout


@pytest.mark.parametrize(
    "changes",
    [
        {"reachable": 1},
        {"left": Left(1, 0, 0)},
        {"left": Left(0, 1, 0)},
        {"left": Left(0, 0, 1)},
        {"error_count": 1, "errors": ["attach: it broke"]},
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_is_not_well_is_status_1(
    changes: dict[str, object], options: list[str], here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(monkeypatch, report(**changes))
    result = invoke("demo", *options)
    assert result.exit_code == 1
    if "errors" in changes:
        assert "attach: it broke" in result.stdout


def test_first_errors_are_shown(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    one = report(reachable=0, round_trips=[])
    for number in range(30):
        one.note(f"ping {number} [bold]as it is[/bold]")
    runs(monkeypatch, one)
    result = invoke("demo")
    assert "ping 0 [bold]as it is[/bold]" in result.stdout
    assert "ping 5" not in result.stdout
    assert "and 25 more" in result.stdout
    assert "30 errors" in result.stdout


@pytest.mark.parametrize(
    ("driver", "says"),
    [("nosuch", "no driver for network type 'nosuch'"), ("host", "no addresses"), ("null", "no addresses")],
)
def test_drivers_that_cannot_be(driver: str, says: str, here: list[str]) -> None:
    result = invoke("demo", "--driver", driver)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("driverapi: error: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        errors.KernelError("add bridge\n  failed", 12),
        errors.BulkError("detach: 1 of 2", [errors.KernelError("a", 1)]),
        errors.NoNetworkError("no network 'web'"),
    ],
)
def test_errors_of_the_package_are_one_line(error: Exception, here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, error)
    result = invoke("demo", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"driverapi: error: {' '.join(str(error).split())}\n"


def test_a_fault_of_ours_keeps_its_traceback(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, AttributeError("ours"))
    assert isinstance(invoke("demo").exception, AttributeError)


def test_interrupted(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, KeyboardInterrupt())
    result = invoke("demo")
    assert result.exit_code == 130
    assert result.stdout == ""


def test_what_would_be_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driverapi._private.enter_private_namespaces", lambda: pytest.fail("it was covered"))
    monkeypatch.setattr("sys.prefix", "/run/media/me/venv")
    result = invoke("demo")
    assert result.exit_code == 1
    assert "/run/media/me/venv is there" in result.stderr


def test_no_user_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted: run as root")

    monkeypatch.setattr("driverapi._private.enter_private_namespaces", refuse)
    result = invoke("demo")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("driverapi: error: the demo needs network and mount namespaces of its own: ")
    assert "Operation not permitted: run as root" in result.stderr
