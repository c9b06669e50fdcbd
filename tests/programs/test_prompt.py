"""Tests `-interactive 1` with lines from a pipe and with a terminal."""

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from conftest import ROOT, assert_one_line_error, run_sample
from test_sampling_options import LSTM, QUIET, text

from charrnn_port.sampling import prompt
from charrnn_port.util.errors import UserError


def answers(*lines: str, options: tuple = ()) -> tuple[bytes, str]:
    """Return stdout and stderr for lines from a pipe."""
    stdin = "".join(f"{line}\n" for line in lines).encode()
    result = run_sample(LSTM, *QUIET, "-interactive", 1, "-length", 30, *options, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes, result.stderr


def test_each_line_is_a_prime_text_and_each_text_a_run_of_its_own():
    """Each text has the next seed."""
    alone = [text("-primetext", line, "-length", 30, "-seed", seed) for seed, line in enumerate(("The ", "", "a"), 123)]
    assert answers("The ", "", "a") == (b"".join(alone), "")
    assert answers() == (b"", "")


def test_lines_of_windows_and_a_last_one_without_an_end():
    result = run_sample(LSTM, *QUIET, "-interactive", 1, "-length", 30, stdin=b"The \r\nThe ")
    assert result.stdout_bytes == b"".join(
        text("-primetext", "The ", "-length", 30, "-seed", seed) for seed in (123, 124)
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.5), ("seed", 5), ("length", 9), ("top_k", 3), ("top_p", 0.5), ("min_p", 0.3), ("sample", 0),
     ("stop", " o")],
)  # fmt: skip
def test_settings(name, value):
    """A setting works as on the command line, for all further texts; without a value it restores the default."""
    seed = 5 if name == "seed" else 123
    options = ["-primetext", "The ", "-length", 30, "-seed", seed]
    out, said = answers(f"/{name} {value}", "The ", f"/{name}", "/length 30", f"/seed {seed}", "The ")
    assert out == text(*options, f"-{name}", value) + text(*options)
    assert said.startswith(f"{name} = {value}\n")


def test_unknown_characters_may_be_left_out():
    out, _ = answers("/unknown skip", "Th}e ")
    assert out == text("-primetext", "The ", "-length", 30)


def test_more_goes_on():
    """The continued text is that of one longer text, even if a setting has changed in between."""
    first, second = text("-primetext", "The ", "-length", 30)[:-1], text("-primetext", "The ", "-length", 60)
    assert answers("The ", "/more")[0] == first + b"\n" + second[len(first) :]
    out, _ = answers("The ", "/sample 0", "/more", "/length 3", "/more")
    goes_on = text("-primetext", first.decode("latin-1"), "-sample", 0, "-length", 33)[len(first) : -1]
    assert out == b"\n".join([first, goes_on[:30], goes_on[30:], b""])


def test_a_text_may_begin_with_a_slash():
    error = run_sample(LSTM, *QUIET, "-interactive", 1, stdin=b"//x\n").stderr
    assert error == run_sample(LSTM, *QUIET, "-primetext", "/x").stderr.replace("-primetext", "the text")


def test_help_and_quit():
    out, said = answers("/temperature 0.25", "/help", "/quit", "The ")
    assert out == b""
    assert "  /temperature 0.25\n" in said
    assert all(f"  /{name}" in said for name in (*prompt.SETTINGS, "more", "quit"))
    assert max(map(len, said.splitlines())) <= 40


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("/tempurature 1", 1, ("unknown command /tempurature: did you mean /temperature?",)),
        ("/zzz", 1, ("unknown command /zzz: see /help",)), ("/temperature 0,5", 2, ("-temperature: '0,5'",)),
        ("/more", 1, ("/more: no text to continue",)), ("/stop }", 1, ("/stop has '}'",)),
        ("The }", 1, ("the text has '}' at position 4",)), ("/beam 3", 1, ("unknown command /beam",)),
    ],
)  # fmt: skip
def test_a_wrong_line_from_a_pipe_ends_the_program(line, status, words):
    """Lines before it are answered; lines after it are not."""
    stdin = f"The \n{line}\nThe \n" if line != "/more" else "/more\n"
    result = run_sample(LSTM, *QUIET, "-interactive", 1, "-length", 30, stdin=stdin.encode())
    assert_one_line_error(result, status, *words)
    assert result.stdout_bytes == (b"" if line == "/more" else text("-primetext", "The ", "-length", 30))


def test_without_prompt_toolkit_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(UserError, match=r'pip install -c constraints.txt -e "\.\[interactive\]"'):
        next(prompt.typed_lines(None))


CONTROL = re.compile(rb"\x1b\[[?\d;]*[A-Za-z]")  # where the cursor goes, and the like


class Terminal:
    """A program on a pseudo-terminal, whose user waits for output before typing."""

    def __init__(self, *command: object, term: str = "xterm") -> None:
        self.handle, inside = pty.openpty()
        environment = {**os.environ, "TERM": term, "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=inside, stdout=inside, stderr=inside, env=environment,
            start_new_session=True, preexec_fn=take_terminal,
        )  # fmt: skip
        os.close(inside)
        self.seen = self.raw = b""

    def read_until(self, pattern: bytes) -> bytes:
        """Return the output since the last call, up to this pattern."""
        while not (found := re.search(pattern, self.seen, re.S)):
            assert select.select([self.handle], [], [], 30)[0], self.seen
            read = os.read(self.handle, 4096)
            self.raw += read
            self.seen = CONTROL.sub(b"", self.seen + read)
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def type(self, keys: bytes) -> None:
        """Type on the terminal."""
        os.write(self.handle, keys)


def take_terminal() -> None:
    """Make stdin the controlling terminal of this process, so that it receives Ctrl-C."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_person_at_a_terminal():
    """Ctrl-C stops a text and not the program, a typo gives an error, /more continues, the up key recalls lines."""
    pytest.importorskip("prompt_toolkit")
    terminal = Terminal(sys.executable, ROOT / "sample.py", LSTM, *QUIET, "-interactive", 1, "-length", 0)
    assert b"Type the beginning of a text." in terminal.read_until(b"seed 123>")
    terminal.type(b"The \r")
    terminal.read_until(b".{2000}")
    time.sleep(0.1)
    terminal.type(b"\x03")
    terminal.read_until(b"seed 124>")
    terminal.type(b"/tempurature 1\r")
    assert b"did you mean /temperature?" in terminal.read_until(b"mean.*seed 124>")
    terminal.type(b"/length 20\r")
    terminal.read_until(b"length = 20.*seed 124>")
    terminal.type(b"half a line\x03")
    terminal.read_until(b"seed 124>")
    terminal.type(b"a\r")
    expected = text("-primetext", "a", "-length", 20, "-seed", 124).strip().replace(b"\n", b"\r\n")
    assert expected in terminal.read_until(b"seed 125>")
    terminal.type(b"\x1b[A\r")  # the last line once more
    expected = text("-primetext", "a", "-length", 20, "-seed", 125).strip().replace(b"\n", b"\r\n")
    assert expected in terminal.read_until(b"seed 126>")
    terminal.type(b"\x04")
    assert terminal.process.wait(timeout=60) == 0
    os.close(terminal.handle)


@pytest.mark.long
def test_a_dumb_terminal_has_a_plain_prompt():
    """No escape codes, as for a shell in Emacs. Ctrl-C discards a line, Ctrl-D exits."""
    command = [sys.executable, ROOT / "sample.py", LSTM, *QUIET, "-interactive", 1, "-length", 20]
    terminal = Terminal(*command, term="dumb")
    terminal.read_until(b"seed 123> ")
    terminal.type(b"half a line\x03")
    terminal.read_until(b"seed 123> ")
    terminal.type(b"a\n")
    expected = text("-primetext", "a", "-length", 20, "-seed", 123).strip().replace(b"\n", b"\r\n")
    shown = terminal.read_until(b"seed 124> ")
    assert expected in shown
    terminal.type(b"\x04")
    assert terminal.process.wait(timeout=60) == 0
    assert b"\x1b" not in terminal.raw
    os.close(terminal.handle)
