"""The served networks, each named after its file."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from charrnn_port.checkpoints import Checkpoint, folder, load_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.device import DTYPES
from charrnn_port.options import ServeOptions
from charrnn_port.sampling import Model
from charrnn_port.sharing.server.completions import finite, token_text
from charrnn_port.sharing.server.engine import Engine
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.parameters import shown
from charrnn_port.sharing.server.stream import Stream
from charrnn_port.util.errors import UserError

LOOK_AGAIN = 1.0  # seconds between two checks for a newer checkpoint
TURN = 0.0005  # seconds of steps before control returns to the event loop
SLOW = 0.01  # seconds: steps that take longer run in a thread, so that they do not block the event loop


class Served:
    """A network, and the task in the event loop that generates its texts."""

    def __init__(self, id_: str, engine: Engine, facts: dict) -> None:
        self.id, self.engine, self.vocab = id_, engine, engine.model.vocab
        self.facts = facts  # its description in /v1/models
        self._writing: asyncio.Task | None = None

    def write(self, streams: Sequence[Stream]) -> None:
        """Start some texts. Raises BusyError, and starts none, where there is no place for all of them."""
        self.engine.submit(streams)
        if not self._writing or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Run steps while there are texts.

        Short steps run in the event loop: in a thread, each would wait for Python's global interpreter lock.
        """
        seconds = 0.0  # duration of the last step
        while any(self.engine.load):
            end = time.monotonic() + TURN
            while (begin := time.monotonic()) < end and any(self.engine.load):
                if seconds < SLOW:
                    self.engine.step()
                else:
                    await asyncio.to_thread(self.engine.step)
                seconds = time.monotonic() - begin
            await asyncio.sleep(0)


class Models:
    """All served networks. A reloaded network replaces the old one, which finishes its texts."""

    def __init__(self, options: ServeOptions) -> None:
        """Load the checkpoints. Raises UserError for a file that cannot be loaded, and for duplicate names."""
        self._options = options
        self._paths: dict[str, str] = {}
        for path in options.checkpoints:
            if (name := id_of(path)) in self._paths:
                raise UserError(f"duplicate model name {name}: rename {path} or {self._paths[name]}")
            self._paths[name] = path
        self._stamps = {name: stamp(path) for name, path in self._paths.items()}
        self._served = {name: self._load(name) for name in self._paths}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def get(self, name: object) -> Served:
        """Return the model with this id; the first one for None. Raises RequestError for an unknown id."""
        if name is None:
            return next(iter(self))
        if not isinstance(name, str) or name not in self._served:
            message = f"model {shown(name)} not found: available are {', '.join(self._served)}"
            raise RequestError(message, "model", 404, "model_not_found")
        return self._served[name]

    async def watch(self) -> None:
        """Reload networks whose files have changed, until cancelled. A file that cannot be loaded changes nothing."""
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            for name, path in self._paths.items():
                found = await asyncio.to_thread(stamp, path)
                if found == self._stamps[name] or not found:
                    continue
                self._stamps[name] = found
                try:
                    newer = await asyncio.to_thread(self._load, name)
                except UserError as error:
                    log_line(f"cannot reload {name}, keeping the old network: {error}")
                    continue
                self._served[name] = newer
                log_line(f"reloaded {name}")

    def _load(self, name: str) -> Served:
        saved = load_checkpoint(self._paths[name], log_line)
        network = saved.build("fused", DTYPES[self._options.dtype])
        model = Model(network, saved.vocab, sampling_dtype=saved.sampling_dtype, separator=saved.separator)
        engine = Engine(model, self._options.streams, self._options.queue)
        return Served(name, engine, facts_of(name, saved, model, self._options.max_length))


def id_of(path: str) -> str:
    """Return a file's name without its extensions, or a folder's name."""
    name = Path(os.path.abspath(path)).name
    return name.removesuffix(".safetensors").removesuffix(".pt").removesuffix(".t7") or name


def stamp(path: str) -> Sequence[tuple[str, int, int]]:
    """Return names, modification times and sizes, which change with each write; an empty list for a missing file."""
    try:
        files = sorted(folder.files_in(path)) if os.path.isdir(path) else [Path(path)]
        return [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    except OSError:
        return []


def facts_of(name: str, saved: Checkpoint, model: Model, max_length: int) -> dict:
    """Return a model's description in OpenAI's form, with the sizes, vocabulary and losses of the network."""
    vocab = saved.vocab
    return {
        "id": name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "charrnn_port",
        "max_model_len": max_length,
        "cell": saved.opt["model"],
        "rnn_size": saved.opt["rnn_size"],
        "num_layers": saved.opt["num_layers"],
        "parameters": saved.params.numel(),
        "dtype": str(model.input_table.dtype),
        "encoding": vocab.encoding,
        "vocabulary": [token_text(vocab, id_) for id_ in range(len(vocab))],
        "iteration": saved.i,
        "epoch": finite(saved.epoch),
        "train_loss": finite(saved.train_losses[-1]) if saved.train_losses else None,
        "val_loss": finite(saved.val_loss),
        "val_losses": {i: finite(loss) for i, loss in sorted(saved.val_losses.items())},
    }
