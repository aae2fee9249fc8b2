"""``serve`` and ``explore`` are started by the command, or say what is missing."""

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from storify import Storify
from storify.cli import _app


@pytest.fixture
def data(here):
    """A folder of one database."""
    with Storify(here / "data", save_interval=None) as sf:
        sf["d"]["a"] = 1
    return here / "data"


@pytest.fixture
def served(monkeypatch):
    """What the server was told, in the place of a server that goes on."""
    import uvicorn  # noqa: PLC0415 - of an extra

    told = []

    def run(self, sockets):
        told.append((self.config, sockets[0].getsockname()))
        raise KeyboardInterrupt  # as somebody ends it

    monkeypatch.setattr(uvicorn.Server, "run", run)
    return told


def test_serve_prints_the_address_at_which_it_listens(run, data, served):
    """Of this machine alone, with a token; Ctrl-C ends it as wanted."""
    result = run("serve", data, "--port", 0)

    assert result.exit_code == 0, result.output
    ((config, (host, port)),) = served
    assert host == "127.0.0.1"
    assert result.stdout.startswith(f"http://127.0.0.1:{port}/?token=")
    assert len(result.stdout.strip().partition("token=")[2]) >= 32
    assert not config.server_header


def test_serve_takes_a_token_that_lasts_for_others(run, data, served):
    """Another address needs one, and a long one."""
    for options in ([], ["--token", "short"]):
        refused = run("serve", data, "--host", "0.0.0.0", *options)  # noqa: S104 - to be refused
        assert refused.exit_code == 2
        assert "give --token, 16 characters or more" in refused.stderr
    assert served == []

    token = "a token that lasts"  # noqa: S105 - of this test
    shown = run("serve", data, "--host", "0.0.0.0", "--port", 0, "--token", token)  # noqa: S104 - with a token

    assert shown.exit_code == 0
    assert shown.stdout.endswith(f"/?token={token}\n")


def test_a_port_that_is_taken_is_said(run, data, served):
    """And what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", data, "--port", port)

    assert result.exit_code == 2
    assert f"cannot serve 127.0.0.1 at port {port}: " in result.stderr
    assert "give another --port, or 0" in result.stderr
    assert "token" not in result.stdout


def test_an_address_of_ipv6_is_in_brackets(run, data, served):
    """As browsers take it."""
    if not socket.has_ipv6:
        pytest.skip("there is no IPv6")
    result = run("serve", data, "--host", "::1", "--port", 0)
    if "cannot serve ::1" in result.stderr:
        pytest.skip("this machine has no address of IPv6")

    assert result.stdout.startswith("http://[::1]:")


def test_explore_opens_the_place(run, data, monkeypatch):
    """To look, or to write."""
    from storify.terminal import Explorer  # noqa: PLC0415 - of an extra

    shown = []
    monkeypatch.setattr(
        Explorer,
        "run",
        lambda self: shown.append((self.session.write, self.session.names())),
    )

    assert run("explore", data).exit_code == 0
    assert run("explore", data, "--write").exit_code == 0
    assert shown == [(False, ["d"]), (True, ["d"])]


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (["serve", "data"], "jinja2", "serve"),
        (["explore", "data"], "textual", "explore"),
        (["export", "data", "d", "--to", "parquet", "-o", "x"], "pyarrow", "arrow"),
        (["ls", "postgresql://user@host/db"], "psycopg", "postgres"),
    ],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_an_extra_that_is_missing_is_named(data, here, arguments, module, extra):
    """With how to install it, and without a traceback."""
    program = f"import sys; sys.modules[{module!r}] = None; from storify.cli import main; main()"
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", program, *arguments],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"storify[{extra}]" in done.stderr


def test_a_fault_of_ours_is_none_of_an_extra():
    """It is raised as it is."""
    with pytest.raises(ModuleNotFoundError, match="nothing"):
        _app._face("storify.nothing", "serve")


def test_ctrl_c_ends_the_server(data):
    """The process ends with success, and says nothing."""
    with subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "storify", "serve", str(data), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        address = server.stdout.readline().partition("?")[0]
        with pytest.raises(urllib.error.HTTPError, match="403"):  # it runs
            urllib.request.urlopen(address, timeout=30)  # noqa: S310 - as printed
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert server.stderr.read() == ""
