"""Tests that checkpoints of torch-rnn give the log-probabilities and texts that torch-rnn computed from them.

reference/torch_rnn holds three that its train.lua wrote: an lstm with dropout and a vanilla RNN of characters, and an
lstm of bytes. torch_rnn.h5 beside them holds what its sample.lua and its network gave, in double precision.
"""

import json
import math
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable

import click
import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import REFERENCE, assert_one_line_error, run_sample, run_train
from t7_helpers import mutate

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port.checkpoints.torch_rnn import from_torch_rnn
from charrnn_port.programs import sample
from charrnn_port.sampling import Model, Session, samplers, trace
from charrnn_port.torch7 import t7
from charrnn_port.torch7.random import Generator
from charrnn_port.torch7.t7 import Table, TorchObject
from charrnn_port.util.errors import UserError

FOLDER = REFERENCE / "torch_rnn"
NAMES = ["b_100", "c_100", "f_100"]
MUTATIONS = int(os.environ.get("T7_MUTATIONS", "100"))


@pytest.fixture(scope="module")
def recorded():
    with h5py.File(FOLDER / "torch_rnn.h5") as file:
        yield file


def text_of(dataset: h5py.Dataset) -> bytes:
    """Return torch-rnn's text, with bytes instead of the `[136]` that it prints for them."""
    return re.sub(rb"\[(\d+)\]", lambda match: bytes([int(match[1])]), dataset[()])


@pytest.mark.parametrize("name", NAMES)
def test_log_probabilities(name, recorded):
    """They are equal to 1e-12, both in sampling and with plain cells."""
    saved = charrnn_port.load_checkpoint(FOLDER / f"{name}.t7")
    ids = saved.vocab.encode(recorded[name]["text"][()])
    session = Session(Model.of(saved))
    plain = trace(saved.build("plain", torch.float64), ids)
    for id_, step, expected in zip(ids, plain, recorded[name]["log_probs"], strict=True):
        session.feed([id_])
        assert np.abs(session.log_probs() - expected).max() < 1e-12
        assert np.abs(step.log_probs - expected).max() < 1e-12


@pytest.mark.parametrize("which", ["argmax_text", "sample_text", "sample_text_no_start"])
@pytest.mark.parametrize("name", NAMES)
def test_texts(name, which, recorded):
    """They are equal byte for byte. torch-rnn's length includes the prime text."""
    dataset = recorded[name][which]
    options = {"primetext": dataset.attrs["start"], "argmax": which == "argmax_text"}
    options |= {option: dataset.attrs[option].item() for option in ("seed", "temperature") if option in dataset.attrs}
    saved = charrnn_port.load_checkpoint(FOLDER / f"{name}.t7")
    length = dataset.attrs["length"].item() - len(dataset.attrs["start"])
    assert b"".join(charrnn_port.sample_bytes(saved, length, **options)) == text_of(dataset)


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js")
def test_a_module_draws_the_same_text(tmp_path, recorded):
    """Tests the JavaScript module that `charrnn export` writes."""
    run(charrnn.export, FOLDER / "b_100.t7", tmp_path / "model.mjs")
    dataset = recorded["b_100"]["sample_text"]
    options = {"primetext": dataset.attrs["start"], "temperature": dataset.attrs["temperature"].item(), "length": 200}
    program = f"""import {{ sample }} from "./model.mjs";
        process.stdout.write(Buffer.from([...sample({json.dumps(options)})]));"""
    command = ["node", "--input-type=module", "-e", program]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == dataset[()]


def test_probabilities_are_not_rounded():
    """In a case where it matters: the first probability and the random number are slightly above a quarter."""

    class Word:
        def random_raw(self) -> int:
            return 2**30 + 1

    stream = Generator(1)
    stream._words = Word()
    scores = np.log([0.25 + 2**-31, 0.75 - 2**-31])
    assert samplers.categorical(stream)(scores) == 1
    assert samplers.categorical(stream, rounded_to="float64")(scores) == 0


def test_a_checkpoint_tells_how_it_draws(tmp_path):
    """Our format stores the sampling type; the original's does not, because its sample.lua always uses float32."""
    saved = charrnn_port.load_checkpoint(FOLDER / "f_100.t7")
    for name, expected in (("lm.t7.pt", "float64"), ("lm.t7", "float32")):
        charrnn_port.save_checkpoint(saved, tmp_path / name)
        again = charrnn_port.load_checkpoint(tmp_path / name)
        assert Model.of(again).sampling_dtype == expected
        for value in ("vocab", "val_losses", "train_losses", "i"):
            assert getattr(again, value) == getattr(saved, value)
        assert torch.equal(again.params, saved.params)
    torch.save(torch.load(tmp_path / "lm.t7.pt") | {"opt": saved.opt | {"drawn_from": "x"}}, tmp_path / "lm.t7.pt")
    with pytest.raises(UserError, match=r"opt has drawn_from 'x'$"):
        charrnn_port.load_checkpoint(tmp_path / "lm.t7.pt")


def run(verb: click.Command, *arguments: object) -> str:
    """Run a verb, assert that it succeeds, and return its stdout."""
    result = CliRunner().invoke(verb, [str(word) for word in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.long
def test_wherever_checkpoints_are_read(tmp_path, recorded):
    """The programs print the same for it and for the .t7.pt that it is converted to."""
    original, converted, trace_file = FOLDER / "b_100.t7", tmp_path / "lm.t7.pt", tmp_path / "trace.h5"
    text = tmp_path / "input.txt"
    text.write_bytes(recorded["b_100"]["text"][()] * 100)
    run(charrnn.convert, original, converted)
    for verb, *arguments in (
        (charrnn.inspect, "-json"),
        (charrnn.evaluate, "-data_dir", tmp_path, "-split", "all"),
        (charrnn.score, text),
        (charrnn.trace, text, "-o", trace_file),
        (sample.main, "-n", 3, "-length", 50, "-primetext", "É", "-verbose", 0),
    ):
        of_original, of_converted = (run(verb, path, *arguments) for path in (original, converted))
        assert of_original.replace('"version": null', "") == re.sub('"version": ".*?"', "", of_converted)
    shutil.copy(original, tmp_path / "checkpoint_100.t7")
    assert run(sample.main, tmp_path / "checkpoint_100.t7") == run(sample.main, tmp_path)
    small = ["-data_dir", tmp_path, "-encoding", "utf-8", "-batch_size", 2, "-seq_length", 5, "-max_epochs", 0.1]
    result = run_train(*small, "-init_from", original, "-vocab", "merge", "-checkpoint_dir", tmp_path / "cv")
    assert result.exit_code == 0, result.stderr
    assert {charrnn_port.load_checkpoint(path).sampling_dtype for path in (tmp_path / "cv").glob("*.pt")} == {"float32"}


# Other files, and corrupt ones


def loaded(name: str = "c_100") -> Table:
    return t7.load(FOLDER / f"{name}.t7")


def at(checkpoint: Table, *path: bytes | int) -> object:
    for name in path:
        checkpoint = (checkpoint.fields if isinstance(checkpoint, TorchObject) else checkpoint)[name]
    return checkpoint


def replace(*path: bytes | int, by: object) -> Callable[[Table], None]:
    """Put another value at a path of fields."""

    def change(checkpoint: Table) -> None:
        holder = at(checkpoint, *path[:-1])
        (holder.fields if isinstance(holder, TorchObject) else holder)[path[-1]] = by

    return change


def expand_everything(checkpoint: Table) -> None:
    for module in at(checkpoint, *MODULES).values():
        for name, value in module.fields.items():
            if isinstance(value, torch.Tensor):
                module.fields[name] = torch.zeros(1).expand(value.shape)


MODEL, MODULES = (b"model",), (b"model", b"net", b"modules")
MALFORMED = {
    "no net": (replace(*MODEL, b"net", by=1.0), "net is a float"),
    "no rnn_size": (replace(*MODEL, b"rnn_size", by=b"24"), "rnn_size is a bytes"),
    "a gru": (replace(*MODEL, b"model_type", by=b"gru"), "model has .*model 'gru'"),
    "another model": (replace(*MODEL, b"model_type", by=b"lstm"), "2 modules with parameters, expected 2 layers"),
    "no layers": (replace(*MODEL, b"num_layers", by=0.0), "model has .*num_layers 0"),
    "endless layers": (replace(*MODEL, b"num_layers", by=1e18), "4 modules with parameters, expected 10+ layers"),
    "half a size": (replace(*MODEL, b"rnn_size", by=0.5), "model has .*rnn_size 0.5"),
    "endless size": (replace(*MODEL, b"rnn_size", by=1e300), "parameters of size"),
    "another wordvec": (replace(*MODEL, b"wordvec_dim", by=17.0), r"of size \(57, 16\) where rnn has \(57, 17"),
    "infinite wordvec": (replace(*MODEL, b"wordvec_dim", by=math.inf), "model has wordvec_dim inf"),
    "no embedding": (replace(*MODULES, 1, by=TorchObject("nn.Identity")), "3 modules with parameters"),
    "embedding later": (replace(*MODULES, 5, by=TorchObject("nn.LookupTable")), "net has 4 modules"),
    "modules that are numbers": (replace(*MODULES, 2, by=1.0), "3 modules with parameters"),
    "no weight": (replace(*MODULES, 2, b"weight", by=None), "weight is missing"),
    "expanded": (expand_everything, "the parameters overlap"),
    "half floats": (replace(*MODULES, 2, b"bias", by=torch.zeros(24).half()), "must be all double or all float"),
    "no vocabulary": (replace(*MODEL, b"idx_to_token", by=Table()), "idx_to_token must number tokens"),
    "a gap": (replace(*MODEL, b"idx_to_token", 58.5, by=b"x"), "idx_to_token must number tokens"),
    "tokens that are numbers": (replace(*MODEL, b"idx_to_token", 1, by=1.0), "idx_to_token must number tokens"),
    "a word": (replace(*MODEL, b"idx_to_token", 1, by=b"word"), "idx_to_token has a token of several characters"),
    "half a character": (replace(*MODEL, b"idx_to_token", 1, by=b"\xc3"), "neither UTF-8 nor a byte"),
    "byte 300": (replace(*MODEL, b"idx_to_token", 1, by=b"[300]"), "neither UTF-8 nor a byte"),
    "larger vocabulary": (replace(*MODEL, b"idx_to_token", 58, by="文".encode()), "parameters of size"),
    "no i": (replace(b"i", by=True), "i is a bool"),
    "no opt": (replace(b"opt", by=1.0), "opt is a float"),
    "a loss of text": (replace(b"train_loss_history", 1, by=b"x"), "a loss is a bytes"),
    "half an iteration": (replace(b"val_loss_history_it", 1, by=0.5), "an iteration is 0.5"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_checkpoints_are_refused(change, message):
    checkpoint = loaded()
    change(checkpoint)
    with pytest.raises(ValueError, match=f"^not a checkpoint of torch-rnn: .*{message}[^\n]*$"):
        from_torch_rnn(checkpoint)


def refusal(path: object) -> str:
    with pytest.raises(UserError) as caught:
        charrnn_port.load_checkpoint(path)
    return str(caught.value).removeprefix(f"{path} is ")


def test_values_that_do_not_go_together(tmp_path):
    """Values that fit torch-rnn's layout but are invalid in a checkpoint."""
    for change, message in (
        (replace(*MODEL, b"dropout", by=1.5), "opt has dropout 1.5"),
        (replace(*MODEL, b"idx_to_token", 1, by=b"A"), "one of them twice"),
        (replace(b"opt", b"torch7", by=b"2016"), "opt has torch7 '2016'"),
    ):
        checkpoint = loaded()
        change(checkpoint)
        t7.save(tmp_path / "changed.t7", checkpoint)
        assert refusal(tmp_path / "changed.t7").endswith(message)


def test_batch_normalisation_is_refused(tmp_path):
    checkpoint = loaded()
    modules = at(checkpoint, *MODULES)
    modules[len(modules) + 1.0] = TorchObject("nn.BatchNormalization")
    t7.save(tmp_path / "with.t7", checkpoint)
    message = refusal(tmp_path / "with.t7")
    assert message.startswith("a checkpoint of torch-rnn with batch normalization, which is not supported: train")
    assert_one_line_error(run_sample(tmp_path / "with.t7"), 1, message)


def test_the_json_beside_it(tmp_path):
    (tmp_path / "checkpoint_100.json").write_text('{"opt":{"model_type":"lstm"},"i":100}')
    assert refusal(tmp_path / "checkpoint_100.json").startswith("JSON, such as torch-rnn writes beside its checkpoints")


def test_mutated_at_random(tmp_path):
    """Each file gives values or one clear error, quickly. For more files set T7_MUTATIONS=10000."""
    path, content, errors = tmp_path / "mutated.t7", (FOLDER / "c_100.t7").read_bytes(), []
    for seed in range(MUTATIONS):
        path.write_bytes(mutate(content, random.Random(seed)))
        began = time.process_time()
        try:
            charrnn_port.load_checkpoint(path)
        except UserError as error:
            errors.append(error)
        assert time.process_time() - began < 1
    assert 0 < len(errors) < MUTATIONS
