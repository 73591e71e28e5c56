"""The command as a process of its own: modes of files, pipes, signals, terminals, shells."""

import os
import pty
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.office import Office

ROOT = Path(__file__).parents[2]
ALDABA = [sys.executable, "-W", "error", "-c", "from aldaba.cli import main; main()"]
ENVIRON = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
# No command of these takes so long, on the slowest machine.
PATIENCE_S = 60


def aldaba(
    folder: Path, *words: str, environ: dict[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process."""
    return subprocess.run(
        [*ALDABA, *words],
        cwd=folder,
        env=ENVIRON | (environ or {}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def python(code: str) -> str:
    """Run Python in a process and return what it prints."""
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=ENVIRON, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout


def test_j5_what_init_makes_is_its_owners_alone(tmp_path: Path) -> None:
    os.umask(old := os.umask(0o000))
    try:
        os.umask(0o000)
        answer = aldaba(tmp_path, "init")
    finally:
        os.umask(old)

    assert (0, "") == (answer.returncode, answer.stderr)
    made = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert {"aldaba.toml": 0o600, "var": 0o700, "var/aldaba.db": 0o600, "var/master.key": 0o600} == made


def test_an_import_does_not_bring_the_database_along_for_help() -> None:
    heavy = python(
        "import sys; from aldaba.cli import main\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    print({name.partition('.')[0] for name in sys.modules} &"
        " {'sqlalchemy', 'alembic', 'psycopg', 'cryptography', 'starlette', 'uvicorn', 'asyncio', 'structlog'})"
    ).splitlines()[-1]

    assert "set()" == heavy


def test_who_stops_reading_ends_the_command_quietly(office: Office) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        words = [*ALDABA, "config", "show"]
        answer = subprocess.run(
            words,
            cwd=office.folder,
            env=ENVIRON,
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )

    assert (141, b"") == (answer.returncode, answer.stderr)


class AtTerminal:
    """A command at a terminal, and what can be seen there."""

    def __init__(self, folder: Path, *words: str, environ: dict[str, str] | None = None) -> None:
        self._controller, terminal = pty.openpty()
        seen = ENVIRON | (environ or {})
        self.process = subprocess.Popen(
            [*ALDABA, *words], cwd=folder, env=seen, stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        self.seen = b""

    def __enter__(self) -> "AtTerminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._controller)

    def read(self, until: bytes = b"\0") -> None:
        """Read until something is seen, or until the command has ended."""
        while until not in self.seen:
            assert select.select([self._controller], [], [], PATIENCE_S)[0], self.seen
            try:
                self.seen += os.read(self._controller, 1000)
            except OSError:
                # Nobody has the other end any more.
                return

    def type(self, text: bytes) -> None:
        """Type something."""
        os.write(self._controller, text)


def test_ctrl_c_ends_a_command_that_waits_for_a_secret_quietly(office: Office) -> None:
    with AtTerminal(office.folder, "token", "inspect") as command:
        command.read(until=b"token: ")
        command.process.send_signal(signal.SIGINT)
        command.read()
        status = command.process.wait(PATIENCE_S)

    assert (130, b"token:") == (status, command.seen.strip())


def test_j5_a_secret_asked_for_at_a_terminal_is_not_shown(office: Office) -> None:
    with AtTerminal(office.folder, "token", "inspect") as command:
        command.read(until=b"token: ")
        command.type(b"the.secret.token\n")
        command.read()
        status = command.process.wait(PATIENCE_S)

    assert 1 == status
    assert b"has signed this token" in command.seen
    assert b"secret" not in command.seen


def test_serve_says_at_a_terminal_where_it_listens_until_ctrl_c(office: Office) -> None:
    anywhere = {"ALDABA_SERVER_PUBLIC": "127.0.0.1:0", "ALDABA_SERVER_MANAGEMENT": "127.0.0.1:0"}
    with AtTerminal(office.folder, "serve", environ=anywhere) as command:
        command.read(until=b"Ctrl-C stops it")
        command.process.send_signal(signal.SIGINT)
        status = command.process.wait(PATIENCE_S)

    assert 0 == status
    assert b"requests on 127.0.0.1, port " in command.seen
    assert b"serving fleet, mobility;" in command.seen


def test_a_command_without_any_streams_ends(office: Office) -> None:
    script = 'exec "$0" "$@" <&- >&- 2>&-'
    words = ["sh", "-c", script, *ALDABA, "config", "check"]

    assert 0 == subprocess.run(words, cwd=office.folder, env=ENVIRON, timeout=PATIENCE_S, check=False).returncode


def test_a_machine_without_unicode_gets_codes_and_no_trace(office: Office) -> None:
    answer = aldaba(office.folder, "doctor", environ={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})

    assert (1, "") == (answer.returncode, answer.stderr)
    assert answer.stdout.startswith("\\u2713 the configuration can be used")


def test_log_lines_go_to_standard_error(office: Office) -> None:
    code = (
        "import io, os, pathlib, sys, structlog\n"
        "from aldaba.cli.log import log_to\n"
        "log_to(sys.stderr)\n"
        "structlog.get_logger().info('quiet')\n"
        "structlog.get_logger().warning('heard', what='this')"
    )
    words = [sys.executable, "-c", code]

    answer = subprocess.run(words, env=ENVIRON, capture_output=True, text=True, timeout=PATIENCE_S, check=True)

    assert ("", "level='warning' event='heard' what='this'\n") == (answer.stdout, answer.stderr)


@pytest.mark.parametrize(
    "typed, offered",
    [
        (["aldaba", "par"], {"partner"}),
        (["aldaba", "partner", "su"], {"suspend"}),
        (["aldaba", "client", "add", "--part"], {"--partner"}),
        (["aldaba", "partner", "list", "--output", "j"], {"json"}),
    ],
)
def test_bash_completes_commands_options_and_words(typed: Sequence[str], offered: set[str], tmp_path: Path) -> None:
    script = _completion("bash")
    words = " ".join(f"'{word}'" for word in typed)
    (tmp_path / "try.bash").write_text(
        f"{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={len(typed) - 1}\nCOMP_LINE='{' '.join(typed)}'\n"
        "COMP_POINT=${#COMP_LINE}\n"
        'complete -p aldaba >/dev/null || exit 9\nfunction=$(complete -p aldaba | sed "s/.*-F \\([^ ]*\\).*/\\1/")\n'
        '"$function" aldaba\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )

    answer = subprocess.run(
        ["bash", "--norc", tmp_path / "try.bash"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )

    assert offered == {line.strip() for line in answer.stdout.splitlines()}


@pytest.mark.parametrize("shell, sign", [("zsh", "#compdef aldaba"), ("fish", "complete -c aldaba")])
def test_other_shells_get_their_scripts(shell: str, sign: str) -> None:
    assert sign in _completion(shell)


_SCRIPTS: dict[str, str] = {}


def _completion(shell: str) -> str:
    if shell not in _SCRIPTS:
        _SCRIPTS[shell] = Office(ROOT).do("completion", shell)
    return _SCRIPTS[shell]
