"""The networks that are served, each under its file's name."""

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
from charrnn_port.sharing.server.completions import finite, shown, token_text
from charrnn_port.sharing.server.engine import Engine
from charrnn_port.sharing.server.errors import RequestError
from charrnn_port.sharing.server.stream import Stream
from charrnn_port.util.errors import UserError

LOOK_AGAIN = 1.0  # seconds between two looks at whether a checkpoint is a newer one
TURN = 0.0005  # seconds of steps between two looks at what else there is to do
SLOW = 0.01  # seconds of a step: from then on it takes place in a thread, and others need not wait for it


class Served:
    """A network, and what writes texts with it in the event loop."""

    def __init__(self, id_: str, engine: Engine, facts: dict) -> None:
        self.id, self.engine, self.vocab = id_, engine, engine.model.vocab
        self.facts = facts  # what /v1/models tells of it
        self._writing: asyncio.Task | None = None

    def write(self, streams: Sequence[Stream]) -> None:
        """Begin some texts. Raises BusyError where there is no room for all of them; then none begins."""
        self.engine.submit(streams)
        if not self._writing or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Step for as long as there are texts. Threads would wait for each other at every step (Python's lock)."""
        seconds = 0.0  # that the last step took
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
    """All that are served. One that is loaded anew takes the place of the old, which finishes its texts."""

    def __init__(self, options: ServeOptions) -> None:
        """Raises UserError for a file that cannot be loaded, and for two of one name."""
        self._options = options
        self._paths: dict[str, str] = {}
        for path in options.checkpoints:
            if (name := id_of(path)) in self._paths:
                raise UserError(f"{path} and {self._paths[name]} would both be called {name}: rename one")
            self._paths[name] = path
        self._stamps = {name: stamp(path) for name, path in self._paths.items()}
        self._served = {name: self._load(name) for name in self._paths}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def get(self, name: object) -> Served:
        """That of this id; the first one where none is named. Raises RequestError where there is none."""
        if name is None:
            return next(iter(self))
        if not isinstance(name, str) or name not in self._served:
            message = f"there is no model {shown(name)}: there are {', '.join(self._served)}"
            raise RequestError(message, "model", 404, "model_not_found")
        return self._served[name]

    async def watch(self) -> None:
        """For ever: load those anew whose files have changed. One that cannot be loaded leaves the old in its place."""
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
                    log_line(f"{name} stays as it is: {error}")
                    continue
                self._served[name] = newer
                log_line(f"{name} is loaded anew")

    def _load(self, name: str) -> Served:
        saved = load_checkpoint(self._paths[name], log_line)
        network = saved.build("fused", DTYPES[self._options.dtype])
        model = Model(network, saved.vocab, sampling_dtype=saved.sampling_dtype)
        engine = Engine(model, self._options.streams, self._options.queue)
        return Served(name, engine, facts_of(name, saved, model, self._options.max_length))


def id_of(path: str) -> str:
    """A file's name without its endings, a folder's as it is."""
    name = Path(os.path.abspath(path)).name
    return name.removesuffix(".safetensors").removesuffix(".pt").removesuffix(".t7") or name


def stamp(path: str) -> Sequence[tuple[str, int, int]]:
    """What changes when a checkpoint is written: names, times and sizes; nothing where there is none."""
    try:
        files = sorted(folder.files_in(path)) if os.path.isdir(path) else [Path(path)]
        return [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    except OSError:
        return []


def facts_of(name: str, saved: Checkpoint, model: Model, max_length: int) -> dict:
    """OpenAI's description of a model, and what there is to know of a network."""
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
