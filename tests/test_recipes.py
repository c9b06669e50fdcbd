"""The recipes of CONTRIBUTING.md work: their code, taken from the page, does what the page says."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import RECORDINGS, ROOT, train_options
from pages import blocks, module_of, prose
from runs import EVERY, SMALL, TEXT, assert_same, saved

import charrnn_port
from charrnn_port import __main__ as charrnn
from charrnn_port import reports, sharing
from charrnn_port.command_line import given_options, program
from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.options import OptionError, Options, option
from charrnn_port.sampling import Model, Session, samplers
from charrnn_port.torch7.random import Generator
from charrnn_port.training import optimizers, prepare, recorders, run, schedules
from charrnn_port.training.events import Evaluated, Iteration, RateDecayed

GUIDE = "CONTRIBUTING.md"


@pytest.fixture
def small(tmp_path):
    """Return options of a run of 144 iterations with an evaluation after every 20; an epoch has 48."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return train_options(*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv")


def steady(events):
    """Return the iterations of a run without their times, which differ between equal runs."""
    return [(type(event), event.i, event.train_loss) for event in events if isinstance(event, Iteration)]


def test_recorder(small, tmp_path):
    write_losses = module_of(GUIDE, "python recorder", tmp_path).write_losses
    events = list(write_losses(run(prepare(small)), tmp_path / "losses.tsv"))
    assert steady(events) == steady(run(prepare(small)))
    rows = [[float(word) for word in line.split("\t")] for line in (tmp_path / "losses.tsv").read_text().splitlines()]
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    losses = [event.train_loss for event in events if isinstance(event, Iteration)]
    assert [(row[0], row[2]) for row in rows] == [(event.i, event.val_loss) for event in evaluated]
    assert [row[1] for row in rows] == pytest.approx([np.mean(losses[: event.i][-100:]) for event in evaluated])


def resumes_exactly(options, folder):
    """Return the events of a run, and assert that a resumed run has the same events and ends with the same state."""
    events = list(recorders.save_checkpoints(run(prepare(options))))
    whole = saved(folder / "cv")
    continued = charrnn_port.train(resume=whole[60][0], checkpoint_dir=folder / "resumed")
    rest = list(recorders.save_checkpoints(continued))
    assert_same(saved(folder / "resumed")[144][1], whole[144][1])
    assert steady(rest) == steady(events)[60:]
    assert changes(rest) == [event for event in changes(events) if event.i > 60]
    return events


def changes(events):
    """Return the changes of the learning rate."""
    return [event for event in events if isinstance(event, RateDecayed)]


def test_optimizer(small, tmp_path, monkeypatch):
    momentum = module_of(GUIDE, "python optimizer", tmp_path).Momentum
    monkeypatch.setattr(optimizers, "create", lambda options, params: momentum(params, options.learning_rate))
    losses = [event.train_loss for event in resumes_exactly(small, tmp_path) if isinstance(event, Iteration)]
    assert losses[-1] < losses[0]
    state = saved(tmp_path / "cv")[144][1].progress["optimizer"]
    assert set(state) == {"learning_rate", "velocity"}
    assert state["velocity"].abs().max() > 0


def test_schedule(small, tmp_path, monkeypatch):
    harmonic = module_of(GUIDE, "python schedule", tmp_path).Harmonic
    monkeypatch.setattr(schedules, "create", lambda options, *rest: harmonic(*rest))
    found = changes(resumes_exactly(small, tmp_path))
    assert [event.i for event in found] == [48, 96, 144]
    assert [event.learning_rate for event in found] == pytest.approx([2e-3 / 2, 2e-3 / 3, 2e-3 / 4])
    assert np.prod([event.factor for event in found]) == pytest.approx(1 / 4)


def test_sampler(tmp_path):
    epsilon = module_of(GUIDE, "python sampler", tmp_path).epsilon
    model = Model.of(charrnn_port.load_checkpoint(RECORDINGS / "lua_checkpoints/gru.t7"))
    prime = model.vocab.encode(b"The ")

    def probabilities(cutoff):
        """Draw a text with this filter. Returns its ids, and the probability of each beside the largest one."""
        session, found = Session(model), []
        choose = samplers.filtered(samplers.categorical(Generator(5)), [epsilon(cutoff)])

        def noted(scores):
            id_ = choose(scores)
            found.append((np.exp(session.log_probs()[id_]), np.exp(session.log_probs().max())))
            return id_

        ids = list(session.sample(100, noted, prime))
        return ids, found

    ids, found = probabilities(0.05)
    assert all(each >= 0.05 for each, _ in found)
    assert all(each == largest for each, largest in probabilities(0.99)[1])
    assert probabilities(0)[0] == list(Session(model).sample(100, samplers.categorical(Generator(5)), prime)) != ids


def test_cell(tmp_path, monkeypatch):
    """The cell of the page learns, with both backends that need nothing else."""
    monkeypatch.setitem(CELLS, "mgu", module_of(GUIDE, "python cell", tmp_path))
    ids = torch.randint(7, (9, 4), generator=torch.Generator().manual_seed(1))
    losses = {}
    for backend in ("plain", "script"):
        network = BACKENDS[backend]("mgu", 7, 6, 2)
        network.params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(2))
        losses[backend] = []
        for _ in range(20):
            state = network.zero_state(4)
            losses[backend].append(network.training_pass(ids[:-1], ids[1:], state, None, alias=False).mean().item())
            network.params -= 0.05 * network.grad_params
    assert losses["plain"] == pytest.approx(losses["script"], rel=1e-9)
    assert losses["plain"][-1] < losses["plain"][0] - 0.05


@pytest.mark.long
def test_a_run_with_that_cell(play, tmp_path):
    """The recipe in a copy of the repository: one file and two lines are enough to train, save and evaluate."""
    for name in ("model", "util", "charrnn_port", "train.py", "sample.py"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (block,) = [block for block in blocks(ROOT / GUIDE) if block.info == "python cell"]
    (tmp_path / "model/mgu.py").write_text(block.text)
    for place, line, new in (
        ("model/char_rnn.py", "import gru, lstm, rnn", "import gru, lstm, mgu, rnn"),
        ("model/char_rnn.py", '"rnn": rnn}', '"rnn": rnn, "mgu": mgu}'),
        ("charrnn_port/options/shared.py", '"gru", "rnn")', '"gru", "rnn", "mgu")'),
    ):
        text = (tmp_path / place).read_text()
        assert line in text, line
        (tmp_path / place).write_text(text.replace(line, new))
    options = f"-data_dir {play} -gpuid -1 -rnn_size 8 -seq_length 10 -max_epochs 0.02 -eval_val_every 1000".split()

    def run(*arguments: object) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    output = run("train.py", "-model", "mgu", *options)
    assert "creating an mgu with 2 layers" in output
    assert "cell: plain" in output
    (checkpoint,) = (tmp_path / "cv").glob("*.t7.pt")
    assert "nats_per_character" in run("-m", "charrnn_port", "evaluate", checkpoint)
    assert " mgu" in run("-m", "charrnn_port", "inspect", checkpoint)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_cell_has_what_the_recipe_lists(cell):
    recipe = prose(ROOT / GUIDE).split("## How to add a cell")[1]
    listed = re.findall(r"^ +\| `(\w+)` \|", recipe, re.M)
    assert len(listed) == 8
    for name in listed:
        assert hasattr(cell, name), name


def test_option():
    """The option of the page works in a program: converted, checked, and in the help."""
    (block,) = [block for block in blocks(ROOT / GUIDE) if block.info == "python option"]
    names = {"dataclass": dataclass, "Options": Options, "option": option}
    exec(block.text, names)
    options_class = names["SampleOptions"]
    assert options_class(epsilon="5e-1").epsilon == 0.5
    with pytest.raises(OptionError, match="-epsilon: -1 is out of range: it must be at least 0"):
        options_class(epsilon=-1)

    @program(options_class, example="")
    def main(options):
        """Print the option."""
        print(options.epsilon, *given_options())

    assert CliRunner().invoke(main, ["-epsilon", "0.25"]).stdout == "0.25 epsilon\n"
    assert re.search(r"^sampling:\n +-epsilon NUMBER +draw from", CliRunner().invoke(main, ["-help"]).stdout, re.M)


def test_every_option_is_where_the_recipe_says():
    page = (ROOT / "docs/options.md").read_text()
    for verb, main in charrnn.verbs().items():
        text = CliRunner().invoke(main, ["-help"]).stdout
        section = page.split(f"charrnn {verb}\n")[1].split("\n## ")[0]
        for param in main.params:
            name = param.metavar if param.param_type_name == "argument" else param.opts[0]
            assert re.search(rf"^  {re.escape(name)}(?!\w)", text, re.M), name
            assert f"| `{name}`" in section


def test_verb(tmp_path):
    norms = module_of(GUIDE, "python verb", tmp_path).norms
    result = CliRunner().invoke(norms, [str(RECORDINGS / "lua_checkpoints/rnn.t7"), "-digits", "1"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 2 * 4
    assert all(re.fullmatch(r"layer [12] \w+ : \d+\.\d", line) for line in lines)
    assert "Show the size of a network's parameters." in CliRunner().invoke(norms, ["-help"]).stdout


def test_every_verb_is_where_the_recipe_says():
    for verb, main in charrnn.verbs().items():
        assert main.help, verb
        if verb not in ("train", "sample"):
            assert re.search(rf"^    {verb} ", f"{reports.__doc__}\n{sharing.__doc__}", re.M), verb
