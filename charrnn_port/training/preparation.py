"""Setup of a run before its first iteration: text, network, optimizer and random stream, as in train.lua."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from charrnn_port import datasets
from charrnn_port.checkpoints import Checkpoint, folder, load_checkpoint
from charrnn_port.device import choose_device, choose_dtype, choose_products, free_memory, require_torch7
from charrnn_port.model import BACKENDS, describe_backend, fastest_backend, reason_not_fastest
from charrnn_port.model.memory import COPIES, MORE, ON_DEVICE, buffer_bytes, parameter_count
from charrnn_port.options import TrainOptions, described
from charrnn_port.torch7.random import Generator
from charrnn_port.training.graphed import training_for
from charrnn_port.training.iteration import Training, initialize, open_forget_gates
from charrnn_port.training.parallel import SingleProcess
from charrnn_port.training.vocab_merge import merge
from charrnn_port.util.errors import UserError
from charrnn_port.util.file_types import first_bytes, unusual_text
from charrnn_port.util.minibatch_loader import MinibatchLoader, sizes_for
from charrnn_port.util.short_texts import texts_in_folder

# Options that may differ between the hosts of a run.
OF_HOST = {"data_dir", "val_file", "test_file", "checkpoint_dir", "gpuid", "cell", "config", "progress"}
SLOWER_ON_CPU = "; on a CPU this is only for testing: float32 is faster"

Echo = Callable[[str], None]


def joint_options(
    options: TrainOptions, given: frozenset[str], processes: SingleProcess
) -> tuple[TrainOptions, frozenset[str]]:
    """Return the options of a run and the names that the user gave, after comparing them between its processes.

    If torchrun has restarted the processes, they resume the run's latest checkpoint, which has the other options.
    Raises UserError if an option of this process differs from the main process's, other than those in OF_HOST.
    """
    values = {f"-{name}": value for name, value in options.values().items() if name not in OF_HOST}
    processes.require_same(values, "start all hosts with the same options")
    path = processes.saved_before_restart()
    return (replace(options, resume=path), given & OF_HOST) if path else (options, given)


def resumed(
    options: TrainOptions,
    given: frozenset[str],
    log: Echo = lambda line: None,
    processes: SingleProcess | None = None,
) -> tuple[TrainOptions, Checkpoint]:
    """Return the options of the run to resume, and the checkpoint that -resume names.

    The options are those of the checkpoint, overridden by the options in `given`, the names that the user gave. `log`
    receives the name of the checkpoint if -resume names a folder. Raises UserError for a checkpoint that cannot be
    resumed, and for an option that would change the results of the run.
    """

    def load() -> Checkpoint:
        if options.resume == "latest":
            return folder.load_latest(options.checkpoint_dir, log)
        return load_checkpoint(options.resume, log)

    saved = (processes or SingleProcess()).from_main(load)
    if not saved.progress:
        raise UserError(
            f"{options.resume} is a Lua checkpoint without optimizer state and cannot be resumed; use -init_from"
        )
    of_run = TrainOptions.from_checkpoint(saved.opt, f"-resume {options.resume}")
    if of_run.dtype == "auto" and "dtype" in given and f"torch.{options.dtype}" == str(saved.params.dtype):
        of_run = replace(of_run, dtype=options.dtype)  # the user names the dtype that auto had chosen
    for each, about in described(TrainOptions):
        value, its_value = getattr(options, each.name), getattr(of_run, each.name)
        identity = about.resume_locked or (each.name == "max_epochs" and of_run.lr_schedule == "cosine")
        if each.name in given and identity and value != its_value:
            shown = "none" if its_value == "" else its_value
            raise UserError(
                f"-{each.name} {value} would change the run, which has {shown}: omit the option, "
                "or start a new run with -init_from"
            )
    if of_run.cell in ("compiled", "persistent"):  # this machine may lack the compiler or GPU of the first one
        of_run = replace(of_run, cell="auto")
    run = replace(of_run, **{name: getattr(options, name) for name in given})
    if options.resume != "latest" and "checkpoint_dir" not in given:
        here = options.resume if os.path.isdir(options.resume) else os.path.dirname(options.resume)
        if os.path.realpath(here) != os.path.realpath(run.checkpoint_dir):
            log(f"checkpoints go to {run.checkpoint_dir}, as before; to name another folder, use -checkpoint_dir")
    return run, saved


def prepare(
    options: TrainOptions,
    given: frozenset[str] = frozenset(),
    saved: Checkpoint | None = None,
    processes: SingleProcess | None = None,
    echo: Echo = lambda line: None,
    log: Echo = lambda line: None,
) -> Training:
    """Set up a run: before its first iteration, or restored from the checkpoint `saved`.

    `echo` receives the lines that train.lua prints, `log` those of the port.

    Raises UserError if the text is missing, too short or has another vocabulary than the checkpoint, if the GPU is
    unavailable, or if the run does not fit into memory.
    """
    if options.train_frac + options.val_frac > 1 + 1e-12:
        raise UserError(
            f"-train_frac {options.train_frac:g} and -val_frac {options.val_frac:g} add up to more than 1: "
            "lower one of them"
        )
    processes = processes or SingleProcess()
    random = Generator(options.seed)
    rows = processes.rows(options.batch_size)
    device = processes.device(choose_device(options.gpuid, options.opencl == 1, echo))
    dtype = choose_dtype(options.dtype, device)
    products = choose_products(options.dtype, device)
    require_torch7(options.torch7, device)
    torch.backends.cuda.matmul.allow_tf32 = options.tf32 == 1

    writes = not options.dry_run
    begin = saved
    if options.init_from and not saved:
        begin = processes.from_main(lambda: load_checkpoint(options.init_from, log))
    vocab = begin.vocab if begin and options.vocab == "same" else None
    with processes.main_process_first():  # it makes the cache of the text
        data_dir = datasets.provide(options.data_dir, "data_dir" in given, echo) if writes else options.data_dir
        options = replace(options, separator=datasets.separator_of(options, data_dir))
        loader = datasets.load(options, data_dir, echo, rows, writes, vocab)
    processes.require_same({"the SHA-256 of the text": loader.digest}, "copy the text of the main process to this host")
    processes.require_same({"the number type": dtype}, "give all processes a GPU, or -dtype or -gpuid -1")
    if loader.note:
        log(loader.note)
    require_batches(loader, options, log)
    for text in texts_in_folder(data_dir) or [Path(data_dir, "input.txt")]:
        if warning := unusual_text(first_bytes(text, "a text")):
            log(f"{text} {warning}")
    kinds, places = loader.rare
    if kinds:
        log(f"unknown symbol: {kinds} characters in {places} places, rarer than -min_count {options.min_count}")
    echo(f"vocab size: {loader.vocab_size}")

    if loader.vocab.encoding == "bpe" and loader.vocab_size < options.vocab_size and vocab is None:
        log(f"-vocab_size {options.vocab_size}: the text has only {loader.vocab_size} tokens that occur twice")
    if saved:
        echo(f"resuming after iteration {saved.i}")
        require_same_text(saved, loader, data_dir)
    elif options.init_from:
        echo(f"loading a model from checkpoint {options.init_from}")
        if options.vocab == "same":
            begin.vocab.require_same(loader.vocab, ", or take -vocab merge")
        if "dropout" in given and options.dropout != begin.opt["dropout"]:
            log(f"-dropout {options.dropout:g} is ignored: -init_from uses the dropout of the checkpoint, as the "
                f"original does: {begin.opt['dropout']:g}")  # fmt: skip
        options = replace(options, **{name: begin.opt[name] for name in ("rnn_size", "num_layers", "model", "dropout")})
        if options.encoding == "bpe" and options.vocab == "same":
            options = replace(options, vocab_size=begin.opt.get("vocab_size", TrainOptions.vocab_size))
        echo(
            f"overwriting rnn_size={options.rnn_size}, num_layers={options.num_layers}, model={options.model} "
            "based on the checkpoint."
        )
    else:
        echo(f"creating an {options.model} with {options.num_layers} layers")
    with processes.main_process_first():  # it compiles the cells
        cell = choose_backend(options, dtype, device, products)
    sizes = loader.vocab_size, options.rnn_size, options.num_layers
    require_memory(options, cell, sizes, rows.stop - rows.start, len(loader.ids), dtype, device)
    merges = options.vocab == "merge" and not saved
    if begin and not merges:
        network = begin.build(cell, dtype, device, options.torch7)
    else:
        network = BACKENDS[cell](options.model, *sizes, torch7=options.torch7, dtype=dtype, device=device)
        initialize(network, random)
    network.products, network.padded = products, loader.padded
    if merges:
        log(merge(begin, network, loader.vocab) if begin else "-vocab merge is ignored without -init_from")
    if options.model == "lstm" and not saved:  # after -init_from too, as in the original
        for layer in range(options.num_layers):
            echo(f"setting forget gate biases to 1 in LSTM layer {layer + 1}")
            open_forget_gates(network, layer)
    echo(f"number of parameters in the model: {network.params.numel()}")

    reason = reason_not_fastest(cell, dtype, device) if options.cell == "auto" else ""
    because = f", because {reason}; 1.5 times as slow, and results agree to rounding only" if reason else ""
    log(f"cell: {describe_backend(cell, dtype, device)}{because}")
    if products:
        log(f"products are rounded to {options.dtype}{SLOWER_ON_CPU if device.type == 'cpu' else ''}")
    training = training_for(options, network, loader, random, processes)
    if saved:
        try:
            training.restore(saved)
        except (KeyError, TypeError) as error:
            raise UserError(
                f"-resume {options.resume}: corrupt checkpoint, or from a newer charrnn_port: {error}"
            ) from error
    return training


def choose_backend(
    options: TrainOptions, dtype: torch.dtype, device: torch.device, products: torch.dtype | None
) -> str:
    """Return the backend that runs the cells, a key of BACKENDS.

    `products` is the dtype of mixed precision, or None. Raises UserError for a backend without mixed precision.
    """
    if products:
        if options.cell not in ("auto", "plain"):
            raise UserError(
                f"-cell {options.cell} does not support mixed precision: use -cell plain with -dtype {options.dtype}"
            )
        return "plain"
    return fastest_backend(options.model, dtype, device) if options.cell == "auto" else options.cell


def require_batches(loader: MinibatchLoader, options: TrainOptions, log: Echo) -> None:
    """Raise UserError if the train split has no batches; log a warning if the validation split has none.

    Raises UserError also if an option needs validation losses and the validation split has no batches.
    """
    if loader.ntrain == 0:
        raise UserError(
            f"no batches in the train split; the text has {loader.nbatches} batches: raise -train_frac, or use "
            f"{sizes_for(len(loader.ids))}"
        )
    iterations = options.max_epochs * loader.ntrain
    if iterations < 1:
        enough = f"{1.1 / loader.ntrain:.2g}"  # 1.1, so that rounding does not make it less than an iteration
        log(
            f"-max_epochs {options.max_epochs:g} is less than one iteration, so nothing is trained: an epoch has "
            f"{loader.ntrain} iterations, so use {enough} or more"
        )
    evaluates = iterations >= options.eval_val_every or iterations == int(iterations)
    for name, wants in (("patience", options.patience > 0), ("lr_schedule", options.lr_schedule == "plateau")):
        if loader.nval == 0 and wants:
            raise UserError(
                f"-{name} {getattr(options, name)} needs validation losses, but the validation split has no batches: "
                f"use {sizes_for(len(loader.ids))} or a larger -val_frac"
            )
    if loader.nval == 0 and evaluates:
        log(
            "no batches in the validation split: validation losses will be nan, as in the original, and there will be "
            f"no best checkpoint; to get one, use {sizes_for(len(loader.ids))} or a larger -val_frac"
        )


def require_memory(
    options: TrainOptions,
    cell: str,
    sizes: tuple[int, int, int],
    rows: int,
    text: int,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Raise UserError if the run cannot fit into memory, before the system kills the process without a message.

    `cell` is the backend, a key of BACKENDS. `sizes` are vocab_size, rnn_size and num_layers. `rows` is the number of
    rows of a batch in this process, `text` the number of characters of the text.
    """
    cpu = torch.device("cpu")
    parameters = dtype.itemsize * parameter_count(options.model, *sizes)
    with_one_row, with_two = (
        buffer_bytes(cell, options.model, *sizes, options.seq_length, count, options.dropout > 0, dtype)
        for count in (1, 2)
    )
    row = with_two - with_one_row
    more = MORE[options.optimizer]
    fixed = {device: (ON_DEVICE + more) * parameters + with_one_row - row}
    if device.type == "cuda":
        fixed[device] += text * (1 if sizes[0] <= 256 else 4)  # bytes per id on the GPU
    fixed[cpu] = fixed.get(cpu, 0) + (COPIES + more) * parameters
    for place, size in fixed.items():
        buffers = row if place == device else 0
        size, free = size + rows * buffers, free_memory(place)
        if free is not None and size > free:
            where = "" if len(fixed) == 1 else f" on {'the CPU' if place == cpu else 'the GPU'}"
            fitting = (free - fixed[place]) // buffers * (options.batch_size // rows) if buffers else 0
            batch = f"-batch_size {fitting} at most, or " if fitting > 0 else ""
            raise UserError(
                f"out of memory: the run needs {gigabytes(size)} of memory{where}, and {gigabytes(free)} are free: "
                f"use {batch}a smaller -rnn_size, -num_layers or -seq_length"
            )


def gigabytes(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e9:,.1f} GB" if size < 10**15 else "more than a million GB"


def require_same_text(saved: Checkpoint, loader: MinibatchLoader, data_dir: str) -> None:
    """Raise UserError if the text differs from the one that the run was trained on. Its folder may differ."""
    saved.vocab.require_same(loader.vocab)
    its_digest = saved.progress.get("text")  # none in checkpoints of version 0.1
    if its_digest and its_digest != loader.digest:
        raise UserError(
            f"the text in {data_dir} differs from the one that the run was trained on (SHA-256 {loader.digest[:12]}…, "
            f"expected {its_digest[:12]}…): use -data_dir with the folder of that text, or start a new run on this "
            "text with -init_from"
        )
