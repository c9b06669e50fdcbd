"""Sample characters from a trained model (char-rnn's sample.lua).

    python sample.py cv/lm_lstm_epoch26.00_1.3956.t7.pt
    python sample.py cv/lm_lstm_epoch26.00_1.3956.t7.pt -temperature 0.5 -length 10000 -verbose 0 > play.txt
    python sample.py cv/lm_lstm_epoch26.00_1.3956.t7.pt -primetext "the meaning of life is "
    python sample.py cv/lm_lstm_epoch26.00_1.3956.t7.pt -interactive 1
    python sample.py lm_lstm_epoch30.00_1.3950.t7          # a Lua checkpoint

Prints each character to stdout as soon as it is sampled. See `python sample.py -help` for all options.
"""

import itertools
import os
import sys
from collections.abc import Iterator

from charrnn_port.command_line import log_line, log_written, print_line, program
from charrnn_port.options import SampleOptions
from charrnn_port.util.errors import UserError


@program(SampleOptions, example='python sample.py cv/lm_lstm_epoch26.00_1.3956.t7.pt -temperature 0.8 -primetext "A "')
def main(options: SampleOptions) -> None:
    """Sample from a character-level language model."""
    # Imported here, because torch takes seconds and -help should not.
    from charrnn_port.checkpoints import load_checkpoint
    from charrnn_port.device import choose_device
    from charrnn_port.sampling import Model, bias_of, clamps_of, interactive, streams, texts_of

    def echo(line: str) -> None:
        if options.verbose == 1:
            print_line(line)

    if not (sys.stdout or options.output):
        raise UserError("cannot write the text: stdout is closed; use -output")
    device = choose_device(options.gpuid, options.opencl == 1, echo)
    saved = load_checkpoint(options.model, log_line if options.verbose == 1 else lambda line: None)
    primetext = streams.prime_text(options)
    prime = saved.vocab.encode(primetext, "-primefile" if options.primefile else "-primetext", options.unknown)
    saved.vocab.encode(os.fsencode(options.stop), "-stop")
    bias_of(options, saved.vocab)  # checks the options before anything is printed
    model = Model.of(saved, device).clamped(clamps_of(options.clamp, saved))
    left_out = len(primetext) - len(saved.vocab.decode(prime))
    if options.unknown == "skip" and left_out:
        log_line(f"-unknown skip: left out {left_out} bytes of the prime text that are not in the vocabulary")

    echo(f"creating an {saved.opt['model']}...")
    if options.interactive:
        interactive(model, options)
        return
    if options.primefile:
        echo(f"seeding with the {len(primetext)} bytes of {options.primefile}")
    elif options.primetext:
        echo(f"seeding with {options.primetext}")
    elif model.separator:
        echo("sampling whole texts, as they are in the training text")
    else:
        echo("missing seed text, using uniform probability over first character")

    def path_of(numbered: tuple[int, Iterator[bytes]]) -> str:
        return "" if options.output == "-" else options.output.replace("{seed}", str(numbered[0]))

    for path, texts in itertools.groupby(texts_of(model, options, prime), path_of):
        with streams.output(path, options.primefile) as write:
            for seed, text in texts:
                if not path:
                    echo("--------------------------" + (f" seed {seed}" if options.n > 1 else ""))
                try:
                    for character in text:
                        write(character)
                except KeyboardInterrupt:
                    if options.length or path:
                        raise
                    write(b"\n")  # Ctrl-C is the normal end of a text without end
                    sys.exit(130)
                write(b"\n")
        if path and options.verbose == 1:
            log_written(path)


if __name__ == "__main__":
    main()
