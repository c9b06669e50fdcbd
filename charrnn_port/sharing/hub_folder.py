"""`charrnn export CHECKPOINT FOLDER/`: write a folder for the Hugging Face hub, with a model card.

`hf upload USER/REPO FOLDER` publishes it; `charrnn sample hf:USER/REPO` and from_pretrained read it again.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from charrnn_port.checkpoints import Checkpoint, best_evaluation, metadata, save_checkpoint
from charrnn_port.command_line import log_line
from charrnn_port.options import ExportOptions
from charrnn_port.sampling import sample_bytes
from charrnn_port.sharing.page import write_page
from charrnn_port.util.errors import UserError
from charrnn_port.util.files import write_atomically

LENGTH, TEMPERATURE = 500, 0.8  # of the sample in the card
CARD = """---
# license: choose one of https://huggingface.co/docs/hub/repositories-licenses and remove the # before it
library_name: charrnn_port
pipeline_tag: text-generation
tags:
- char-rnn
- character-level
- {model}
- pytorch
---

# {name}

A character-level language model for charrnn_port, a PyTorch port of Karpathy's
[char-rnn](https://github.com/karpathy/char-rnn).

| | |
| --- | --- |
{rows}

## Use

With charrnn_port and its extra `hub` installed (replace USER):

```bash
charrnn sample hf:USER/{name} -temperature 0.8
```

```python
import charrnn_port

checkpoint = charrnn_port.from_pretrained("USER/{name}")
print(b"".join(charrnn_port.sample_bytes(checkpoint, length=500, temperature=0.8)).decode(errors="replace"))
```

{page}`model.safetensors` has the parameters by name, for any other program; `config.json` has the sizes, options and
vocabulary.

## Sample

`charrnn sample hf:USER/{name} -length {length} -temperature {temperature} -gpuid -1`:

{sample}

## Options of the run

```json
{options}
```
"""
PAGE = "`page.html` generates text in a browser: download it and open it.\n"


def write_folder(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Write model.safetensors, config.json, page.html and README.md, each atomically. An existing README.md is kept.

    There is no page for a network of words or tokens, which pages do not read.

    -weights applies to the page. Raises UserError if safetensors is not installed or a file cannot be written.
    """
    folder = Path(options.target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create {options.target}: {error.strerror}") from error
    save_checkpoint(checkpoint, folder / "model.safetensors")
    write_atomically((as_json(config(checkpoint)) + "\n").encode(), folder / "config.json")
    written = ["model.safetensors", "config.json"]
    if checkpoint.vocab.of_characters:
        write_page(checkpoint, replace(options, target=str(folder / "page.html")))
        written.append("page.html")
    if (folder / "README.md").exists():  # its author may have added a license and more
        log_line(f"keeping {folder / 'README.md'}: delete it to get a new model card")
    else:
        write_atomically(card(checkpoint, folder.resolve().name).encode(), folder / "README.md")
        written.append("README.md")
    log_line(f"written to {folder}: {', '.join(written)}")


def config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the values for config.json: all that describes the network and its run, except the loss curves."""
    values = {name: value for name, value in metadata(checkpoint).items() if not name.endswith("_losses")}
    sizes = {name: checkpoint.opt[name] for name in ("model", "rnn_size", "num_layers")}
    counts = {"vocab_size": len(checkpoint.vocab), "parameters": checkpoint.params.numel()}
    return {"model_type": "char-rnn", **sizes, **counts, "fingerprint": checkpoint.fingerprint, **values}


def card(checkpoint: Checkpoint, name: str) -> str:
    """Return the model card. It has no license: that is for the author of the network to choose."""
    text = b"".join(sample_bytes(checkpoint, LENGTH, temperature=TEMPERATURE)).decode(errors="replace")
    return CARD.format(
        model=checkpoint.opt["model"],
        name=inline(name),
        rows="\n".join(f"| {name} | {value} |" for name, value in rows(checkpoint).items()),
        length=LENGTH,
        temperature=TEMPERATURE,
        page=PAGE if checkpoint.vocab.of_characters else "",
        sample="\n".join(f"    {printable(line)}" for line in text.split("\n")),
        options=as_json(checkpoint.opt),
    )


def rows(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the table of the card: text, sizes, losses and fingerprint."""
    opt, vocab, best = checkpoint.opt, checkpoint.vocab, best_evaluation(checkpoint.val_losses)
    found = {
        "text": inline(Path(str(opt.get("data_dir", ""))).name) or "unknown",
        "network": f"{opt['num_layers']} layers of {opt['rnn_size']} ({opt['model']})",
        "parameters": f"{checkpoint.params.numel():,} ({str(checkpoint.params.dtype).removeprefix('torch.')})",
        "vocabulary": f"{len(vocab)} symbols ({vocab.encoding})",
        "trained for": f"{checkpoint.i:,} iterations, {checkpoint.epoch:.2f} epochs",
        "training loss": nats(checkpoint.train_losses[-1]) if checkpoint.train_losses else "unknown",
        "validation loss": nats(checkpoint.val_loss),
    }
    if best is not None and best != checkpoint.i:
        found["best validation loss"] = f"{nats(checkpoint.val_losses[best])}, after iteration {best:,}"
    return {**found, "fingerprint": f"`{checkpoint.fingerprint}`"}


def nats(loss: float) -> str:
    """Return a loss in nats and bits per character."""
    return f"{loss:.4f} nats per character ({loss / math.log(2):.4f} bits)" if math.isfinite(loss) else "unknown"


def as_json(value: dict[str, Any]) -> str:
    """Return strict JSON: null for NaN and infinities."""

    def finite(each: object) -> object:
        if isinstance(each, dict):
            return {name: finite(part) for name, part in each.items()}
        return None if isinstance(each, float) and not math.isfinite(each) else each

    return json.dumps(finite(value), indent=2, allow_nan=False)


def printable(line: str) -> str:
    """Return a line without control characters, which would be invisible or break the card."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def inline(text: str) -> str:
    """Return text for a heading or a table, without characters that Markdown would interpret."""
    return "".join(character for character in printable(text) if character not in "`|<>[]*")
