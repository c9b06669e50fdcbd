"""`-interactive 1`: a prompt that keeps the model loaded. A line is a prime text; lines with a slash are commands."""

import difflib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from charrnn_port.command_line import log_line
from charrnn_port.options import SampleOptions
from charrnn_port.sampling.bias import bias_of
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.session import Session
from charrnn_port.sampling.streams import stdin, writer
from charrnn_port.sampling.text import sampler_of, stop_of, until
from charrnn_port.torch7.random import Generator
from charrnn_port.util.errors import UserError, how_to_install

SETTINGS = "temperature top_k top_p min_p sample ban only bias seed length stop unknown".split()
COMMANDS = ["more", "help", "quit"]


def interactive(model: Model, options: SampleOptions) -> None:
    """Answer lines until the end of the input or /quit.

    On a terminal, Ctrl-C stops the current text, and errors are printed. From a pipe, both end the program.
    """
    on_terminal = bool(sys.stdin and sys.stderr) and sys.stdin.isatty() and sys.stderr.isatty()
    conversation = Conversation(model, options, noted_interrupts if on_terminal else no_interrupts)
    if on_terminal:
        log_line("Type the beginning of a text. /help shows the commands, Ctrl-C stops a text, Ctrl-D exits.")
    for line in typed_lines(conversation) if on_terminal else piped_lines():
        if line.strip() == "/quit":
            break
        try:
            conversation.answer(line)
        except UserError as error:
            if not on_terminal:
                raise
            log_line(f"Error: {error}")


class Conversation:
    """The current settings and the text in progress."""

    def __init__(self, model: Model, options: SampleOptions, interrupts: Callable) -> None:
        self.model = model
        self.options = options
        self._interrupts = interrupts
        self._write = writer(sys.stdout)
        self._text: Iterator[bytes] | None = None

    def answer(self, line: str) -> None:
        """Begin a text with this line, or run the command after a slash. Two slashes begin a text with one slash.

        Raises UserError for an invalid line, which changes nothing.
        """
        if not line.startswith("/"):
            self._begin(line)
        elif line.startswith("//"):
            self._begin(line[1:])
        else:
            name, _, value = line[1:].partition(" ")
            self._do(name.strip(), value)

    def _do(self, name: str, value: str) -> None:
        if name == "more":
            if not self._text:
                raise UserError("/more: no text to continue: type the beginning of one")
            self._continue()
        elif name == "help":
            log_line(self._help())
        elif name in SETTINGS:
            options = replace(self.options, **{name: value or getattr(SampleOptions, name)})
            self.model.vocab.encode(os.fsencode(options.stop), "/stop")
            bias_of(options, self.model.vocab)
            self.options = options
            log_line(f"{name} = {getattr(options, name)}")
        else:
            close = difflib.get_close_matches(name, SETTINGS + COMMANDS, n=1)
            raise UserError(f"unknown command /{name}: {f'did you mean /{close[0]}?' if close else 'see /help'}")

    def _begin(self, primetext: str) -> None:
        prime = self.model.vocab.encode(os.fsencode(primetext), "the text", self.options.unknown)
        self._random = Generator(self.options.seed)
        ids = Session(self.model).sample(None, lambda scores: self._choose(scores), prime)
        self._text = (self.model.vocab.decode([id_]) for id_ in ids)
        self.options = replace(self.options, seed=self.options.seed + 1)
        self._continue(len(prime))

    def _continue(self, prime: int = 0) -> None:
        """Write the `prime` characters that were typed, and -length more, sampled with the current settings."""
        self._choose = sampler_of(self.options, self._random, self.model)
        more = itertools.islice(self._text, self.options.length or None)
        if stop := stop_of(self.model, self.options):
            more = until(stop, more)
        with self._interrupts() as interrupted:
            for piece in itertools.chain(itertools.islice(self._text, prime), more):
                self._write(piece)
                if interrupted():
                    break
        self._write(b"\n")

    def _help(self) -> str:
        return "\n".join(
            [
                "Current settings (type to change):",
                *(f"  /{name} {getattr(self.options, name)}" for name in SETTINGS),
                "Without a value: the default.",
                "The seed increases by 1 with each text.",
                "Commands:",
                "  /more  continue the last text",
                "  /quit  exit, as Ctrl-D does",
                "Alt-Enter inserts a new line.",
                "// begins a text with a slash.",
            ]
        )


def piped_lines() -> Iterator[str]:
    """Yield the lines of stdin as they arrive."""
    for line in stdin("-interactive 1"):
        yield os.fsdecode(line.removesuffix(b"\n").removesuffix(b"\r"))


def typed_lines(conversation: Conversation) -> Iterator[str]:
    """Yield lines typed on a terminal, with editing and history.

    A terminal without escape codes (TERM=dumb), such as a shell in Emacs, has a plain prompt.

    Raises UserError if prompt_toolkit is not installed.
    """
    if os.environ.get("TERM") == "dumb":
        yield from plainly_typed_lines(conversation)
        return
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.output import create_output
    except ImportError:
        raise UserError(
            f"-interactive 1 needs prompt_toolkit on a terminal: {how_to_install('interactive')}"
        ) from None
    keys = KeyBindings()
    keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
    session = PromptSession(
        key_bindings=keys,
        completer=WordCompleter([f"/{name}" for name in SETTINGS + COMMANDS], sentence=True),
        complete_while_typing=False,
        output=create_output(stdout=sys.stderr),
    )
    while True:
        try:
            yield session.prompt(f"seed {conversation.options.seed}> ")
        except KeyboardInterrupt:  # discards an unfinished line
            continue
        except EOFError:
            return


def plainly_typed_lines(conversation: Conversation) -> Iterator[str]:
    """Yield lines typed on a terminal, as it sends them."""
    while True:
        try:
            sys.stderr.write(f"seed {conversation.options.seed}> ")
            sys.stderr.flush()
            line = sys.stdin.readline()
        except KeyboardInterrupt:  # discards an unfinished line
            log_line("")
            continue
        if not line:
            return
        yield line.removesuffix("\n")


@contextmanager
def noted_interrupts() -> Iterator[Callable[[], bool]]:
    """Record Ctrl-C instead of raising KeyboardInterrupt; yield a function that returns whether it was pressed."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def no_interrupts() -> Iterator[Callable[[], bool]]:
    """Leave Ctrl-C as it is; yield a function that returns False."""
    yield lambda: False
