"""`-interactive 1`: a prompt that keeps a model loaded. What is typed begins a text; lines with a slash steer it."""

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
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.session import Session
from charrnn_port.sampling.streams import stdin, writer
from charrnn_port.sampling.text import sampler_of, until
from charrnn_port.torch7.random import Generator
from charrnn_port.util.errors import UserError

SETTINGS = ("temperature", "top_k", "top_p", "min_p", "sample", "seed", "length", "stop", "unknown")
COMMANDS = ("more", "help", "quit")


def interactive(model: Model, options: SampleOptions) -> None:
    """Answer one line after the other, until there are no more or one is /quit.

    On a terminal Ctrl-C stops the text in progress, and an error is told. From a pipe either ends the program.
    """
    on_terminal = bool(sys.stdin and sys.stderr) and sys.stdin.isatty() and sys.stderr.isatty()
    conversation = Conversation(model, options, noted_interrupts if on_terminal else no_interrupts)
    if on_terminal:
        log_line("Type how a text begins. /help tells more, Ctrl-C stops a text, Ctrl-D leaves.")
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
    """The settings as they are now, and the text in progress."""

    def __init__(self, model: Model, options: SampleOptions, interrupts: Callable) -> None:
        self.model = model
        self.options = options
        self._interrupts = interrupts
        self._write = writer(sys.stdout)
        self._text: Iterator[bytes] | None = None

    def answer(self, line: str) -> None:
        """Begin a text with this line, or do what it says after a slash; of two slashes the text begins with one.

        Raises UserError for a line that won't do, and leaves all as it was.
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
                raise UserError("/more: there is no text to go on with: type how one begins")
            self._go_on()
        elif name == "help":
            log_line(self._help())
        elif name in SETTINGS:
            options = replace(self.options, **{name: value or getattr(SampleOptions, name)})
            self.model.vocab.encode(os.fsencode(options.stop), "/stop")
            self.options = options
            log_line(f"{name} = {getattr(options, name)}")
        else:
            close = difflib.get_close_matches(name, SETTINGS + COMMANDS, n=1)
            raise UserError(f"no such command: /{name}; {f'did you mean /{close[0]}?' if close else 'see /help'}")

    def _begin(self, primetext: str) -> None:
        prime = self.model.vocab.encode(os.fsencode(primetext), "the text", self.options.unknown)
        self._random = Generator(self.options.seed)
        ids = Session(self.model).sample(None, lambda scores: self._choose(scores), prime)
        self._text = (self.model.vocab.decode([id_]) for id_ in ids)
        self.options = replace(self.options, seed=self.options.seed + 1)
        self._go_on(len(prime))

    def _go_on(self, prime: int = 0) -> None:
        """Write so many characters that were typed, and -length more, chosen by the settings as they are now."""
        self._choose = sampler_of(self.options, self._random, self.model)
        more = itertools.islice(self._text, self.options.length or None)
        if self.options.stop:
            more = until(os.fsencode(self.options.stop), more)
        with self._interrupts() as interrupted:
            for piece in itertools.chain(itertools.islice(self._text, prime), more):
                self._write(piece)
                if interrupted():
                    break
        self._write(b"\n")

    def _help(self) -> str:
        return "\n".join(
            [
                "Settings, as they are now:",
                *(f"  /{name} {getattr(self.options, name)}" for name in SETTINGS),
                "Without a value: the default.",
                "Each text has the next seed.",
                "  /more  go on with the last text",
                "  /quit  leave, as Ctrl-D does",
                "Alt-Enter: a new line in the text.",
                "//: a text that begins with a slash.",
            ]
        )


def piped_lines() -> Iterator[str]:
    """The lines of stdin as they come."""
    for line in stdin("-interactive 1"):
        yield os.fsdecode(line.removesuffix(b"\n").removesuffix(b"\r"))


def typed_lines(conversation: Conversation) -> Iterator[str]:
    """Lines that are typed on a terminal, with editing and history. Raises UserError without prompt_toolkit."""
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.output import create_output
    except ImportError:
        raise UserError(
            '-interactive 1 needs prompt_toolkit on a terminal: pip install -c constraints.txt -e ".[interactive]"'
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
        except KeyboardInterrupt:  # an unfinished line is thrown away
            continue
        except EOFError:
            return


@contextmanager
def noted_interrupts() -> Iterator[Callable[[], bool]]:
    """While entered, Ctrl-C is only noted; gives what tells whether it was pressed."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def no_interrupts() -> Iterator[Callable[[], bool]]:
    """Leaves Ctrl-C as it is."""
    yield lambda: False
