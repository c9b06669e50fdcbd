"""Sample characters from a trained model (char-rnn's sample.lua).

    python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt
    python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt -temperature 0.5 -length 10000 -verbose 0 > play.txt
    python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt -primetext "the meaning of life is "
    python sample.py lm_lstm_epoch30.00_1.3950.t7          # a checkpoint of the Lua original

The text goes to stdout byte by byte as it is drawn. See `python sample.py -help` for all options.
"""

import codecs
import os
import sys
from collections.abc import Callable
from typing import TextIO

from charrnn_port.command_line import print_line, program, tell
from charrnn_port.options import SampleOptions
from util.errors import UserError


@program(SampleOptions, example='python sample.py cv/lm_lstm_epoch26.00_1.3861.t7.pt -temperature 0.8 -primetext "A "')
def main(options: SampleOptions, given: frozenset[str]) -> None:
    """Sample from a character-level language model."""
    # They bring torch, which takes seconds: not for -help.
    from charrnn_port.checkpoints import load_checkpoint
    from charrnn_port.device import choose_device
    from charrnn_port.sampling import sample_bytes

    def gprint(line: str) -> None:
        if options.verbose == 1:
            print_line(line)

    if not sys.stdout:
        raise UserError("there is nowhere to write the text to: stdout is closed")
    device = choose_device(options.gpuid, options.opencl == 1, gprint)
    saved = load_checkpoint(options.model, tell)
    text = sample_bytes(
        saved,
        options.length,
        primetext=os.fsencode(options.primetext),
        temperature=options.temperature,
        argmax=options.sample == 0,
        seed=options.seed,
        device=device,
    )
    gprint(f"creating an {saved.opt['model']}...")
    if options.primetext:
        gprint(f"seeding with {options.primetext}")
    else:
        gprint("missing seed text, using uniform probability over first character")
    gprint("--------------------------")
    write = writer(sys.stdout)
    for character in text:
        write(character)
    write(b"\n")


def writer(stream: TextIO) -> Callable[[bytes], None]:
    """What writes bytes to stdout at once; to one of another kind, as in a notebook, the characters that they are."""
    out = getattr(stream, "buffer", None)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def write(text: bytes) -> None:
        if out:
            out.write(text)
            out.flush()
        else:
            stream.write(decoder.decode(text))

    return write


if __name__ == "__main__":
    main()
