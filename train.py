"""Train a character-level language model (char-rnn's train.lua).

    python train.py                                              # tinyshakespeare, fetched once
    python train.py -data_dir data/some_folder -rnn_size 512 -num_layers 2 -dropout 0.5
    python train.py -config configs/quick.yaml                   # options from a file
    python train.py -resume latest                               # resume an interrupted run
    python train.py -init_from cv/lm_lstm_epoch26.00_1.3956.t7.pt   # start from saved parameters

Reads data_dir/input.txt and writes checkpoints to cv/. See `python train.py -help` for all options.
"""

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from charrnn_port.command_line import fail, given_options, log_line, print_line, program
from charrnn_port.config import as_text, with_config
from charrnn_port.options import TrainOptions
from charrnn_port.util import progress

if TYPE_CHECKING:
    from charrnn_port.training import Training
    from charrnn_port.training.events import Exploded

SAMPLE = 300  # number of characters that -sample_every prints


@program(TrainOptions, example="python train.py -data_dir data/some_folder -rnn_size 512 -num_layers 2 -dropout 0.5")
def main(options: TrainOptions) -> None:
    """Train a character-level language model."""
    # Imported here, because torch takes seconds and -help should not.
    from charrnn_port.checkpoints import folder
    from charrnn_port.training import dry_run, joint_options, prepare, processes, recorders, resumed, run
    from charrnn_port.training.events import Exploded, Saved

    given = given_options()
    with processes() as ours, ExitStack() as claimed:
        log = log_line if ours.rank == 0 else lambda line: None
        saved = None
        if options.config:
            options, given = with_config(options, given)
        options, given = joint_options(options, given, ours)
        if options.progress and ours.rank == 0:
            claimed.enter_context(progress.bars(log, required="progress" in given))
        if options.resume:
            options, saved = resumed(options, given, log, ours)
        if options.print_config == 1:
            if ours.rank == 0:
                print_line(as_text(options).rstrip())
            return
        if ours.rank == 0 and not options.dry_run:
            claimed.enter_context(folder.claim(options))
        echo = print_line if not options.dry_run else lambda line: None
        training = prepare(options, given, saved, ours, echo, log)
        if ours.rank == 0 and not options.dry_run:
            warning = folder.other_run(training.options, training.loader.digest, training.loader.vocab)
            if warning:
                log(warning)
        if options.dry_run:
            dry_run(training, print_line)
            return

        with ours.interrupts as interrupts:
            events = run(training, ours.interrupted, ours.save_wanted)
            if ours.rank == 0:  # only one of several processes saves and prints
                if options.log:
                    events = recorders.write_table(events, saved, interrupts.fail)
                events = recorders.save_checkpoints(events)
                if options.sample_every:
                    events = recorders.add_samples(events, options.sample_every, lambda: sample(training))
                if options.tensorboard:
                    events = recorders.write_tensorboard(events, options.tensorboard, interrupts.fail)
                events = recorders.log_notes(events, log)
                events = recorders.print_lines(events, interrupts.echo)
                events = recorders.show_progress(events)
            exploded = path = None
            for event in events:
                if isinstance(event, Exploded):
                    exploded = event
                elif isinstance(event, Saved):
                    path = event.path
                    ours.saved(path)
        if exploded and ours.rank == 0:
            report_divergence(exploded, path)
        if exploded:
            sys.exit(3)
        if interrupts.failed:
            fail(f"{interrupts.failed}; the run is saved to {path}", 1)
        if interrupts.received:
            sys.exit(128 + interrupts.received)


def sample(training: "Training") -> bytes:
    """Return a text sampled from the network as by sample.py, without changing the run or its random numbers."""
    from charrnn_port.sampling import Model, Session, samplers, until
    from charrnn_port.torch7.random import Generator
    from charrnn_port.util.escapes import unescape

    vocab, separator = training.loader.vocab, unescape(training.options.separator, "-separator")
    model = Model.of_network(training.network, vocab, separator)
    choose, texts = samplers.categorical(Generator(training.options.seed)), b""
    while len(texts) < SAMPLE:
        ids = Session(model).sample(SAMPLE, choose)
        if not separator:
            return vocab.decode(ids)
        texts += b"".join(until(separator, (vocab.decode([id_]) for id_ in ids))) + b"\n"
    return texts


def report_divergence(exploded: "Exploded", path: str | None) -> None:
    """Exit with an error after the loss diverged; `path` is the checkpoint of the last good state, if there is one."""
    good = exploded.last_good
    if good is None:
        fail(
            f"the loss diverged at iteration {exploded.i}, the first one, so that there is nothing to save: "
            "use another checkpoint or other options",
            3,
        )
    rate = good.progress["optimizer"]["learning_rate"]
    fail(
        f"the loss diverged at iteration {exploded.i}; the last good state, after iteration {good.i}, is saved: "
        f"restart from it with -init_from {path} and a -learning_rate below {rate:g}",
        3,
    )


if __name__ == "__main__":
    main()
