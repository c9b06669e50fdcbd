"""Sample characters from a trained model (char-rnn's sample.lua).

    python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt
    python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt -temperature 0.5 -length 10000 -verbose 0 > play.txt
    python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt -primetext "the meaning of life is "
    python sample.py lm_lstm_epoch30.00_1.3950.t7          # a checkpoint of the Lua original

The text goes to stdout byte by byte as it is drawn. See `python sample.py -help` for all options.
"""

import os
import sys
from types import SimpleNamespace

import click

from charrnn_port import checkpoint
from charrnn_port.command_line import argument, command, option, options
from charrnn_port.device import choose_device
from charrnn_port.sampling import sample_bytes
from util.errors import UserError


@command(example='python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt -temperature 0.8 -primetext "The "')
@argument("MODEL")
@options(
    "sampling",
    option("-seed", 123, "random number generator's seed"),
    option("-sample", 1, "0 to use max at each timestep, 1 to sample at each timestep"),
    option("-primetext", "", "used as a prompt to seed the state of the network before we sample"),
    option("-length", 2000, "number of characters to sample", minimum=0),
    option("-temperature", 1.0, "lower is likelier, duller text, higher is more varied", above=0),
    option("-verbose", 1, "set to 0 to ONLY print the sampled text, no diagnostics"),
)
@options(
    "GPU/CPU",
    option("-gpuid", 0, "which GPU to use, CUDA or else MPS. -1 = use CPU"),
    option("-opencl", 0, "accepted for the original's sake: PyTorch has no OpenCL, 1 = use CPU"),
)
def main(opt: SimpleNamespace) -> None:
    """Sample from a character-level language model: MODEL is a checkpoint, of train.py or of the Lua original."""

    def gprint(line: str) -> None:
        if opt.verbose == 1:
            click.echo(line)

    if not sys.stdout:
        raise UserError("there is nowhere to write the text to: stdout is closed")
    device = choose_device(opt.gpuid, opt.opencl == 1, gprint)
    saved = checkpoint.load(opt.model)
    text = sample_bytes(
        saved,
        opt.length,
        primetext=os.fsencode(opt.primetext),
        temperature=opt.temperature,
        argmax=opt.sample == 0,
        seed=opt.seed,
        device=device,
    )
    gprint(f"creating an {saved.opt['model']}...")
    if opt.primetext:
        gprint(f"seeding with {opt.primetext}")
    else:
        gprint("missing seed text, using uniform probability over first character")
    gprint("--------------------------")
    out = sys.stdout.buffer
    for byte in text:
        out.write(byte)
        out.flush()
    out.write(b"\n")
    out.flush()


if __name__ == "__main__":
    main()
