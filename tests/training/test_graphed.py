"""An iteration recorded as a CUDA graph equals the ordinary one, bit by bit; with a GPU, tested on it too."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RECORDINGS, arguments_of, loss_of, train_options
from torch.utils._python_dispatch import TorchDispatchMode

from charrnn_port import device as device_module
from charrnn_port.model import BACKENDS
from charrnn_port.model.char_rnn import CELLS
from charrnn_port.sampling import Model, Session, session
from charrnn_port.training import Training, graphed, prepare
from charrnn_port.util.vocabulary import Vocabulary

set_versions = torch._C._autograd._unsafe_set_version_counter
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")


class Recorder(TorchDispatchMode):
    """Imitates a CUDA graph on a CPU: keeps all operations with the tensors and numbers that they got."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Repeat all operations; each result overwrites the first one."""
        for function, args, kwargs, before in self.calls:
            tensors = [each for each in args if isinstance(each, torch.Tensor)]
            versions = [tensor._version for tensor in tensors]
            result = function(*args, **kwargs)
            set_versions(tensors, versions)  # PyTorch does not see the changes that a replay makes
            for new, old in zip(*map(torch.utils._pytree.tree_leaves, (result, before)), strict=True):
                if new.data_ptr() != old.data_ptr():
                    old.copy_(new)


def record_on_cpu(function, device):
    """Like graphed.record, but recording also executes the operations, so the first replay is skipped."""
    with torch.no_grad(), Recorder() as recorder:
        function()
    done = False

    def replay() -> None:
        nonlocal done
        if done:
            with torch.no_grad():
                recorder.replay()
        done = True

    return replay


def trainings(play: Path, recordings, name: str) -> tuple[Training, Training]:
    """Return the same run twice: ordinary, and recorded as on CUDA."""
    arguments = ["-data_dir", play, "-cell", "fused", *arguments_of(recordings["runs"][name])]
    ours = [prepare(train_options(*arguments)) for _ in range(2)]
    other = ours[1]
    return ours[0], graphed.GraphedTraining(other.options, other.network, other.loader, other.random)


@pytest.mark.parametrize(
    "name", ["rnn", *(pytest.param(name, marks=pytest.mark.long) for name in ("lstm", "lstm_dropout", "gru"))]
)
def test_recorded_iterations_are_the_ordinary_ones(recordings, play, monkeypatch, name):
    """Through a decay of the learning rate, evaluations, and a resume from a checkpoint."""
    monkeypatch.setattr(graphed, "record", record_on_cpu)
    ordinary, recorded = trainings(play, recordings, name)
    for i in range(1, 40):
        assert ordinary.iteration() == recorded.iteration()
        assert torch.equal(ordinary.network.params, recorded.network.params)
        for training in (ordinary, recorded):
            if i == 10:
                training.optimizer.learning_rate *= 0.5
            if i in (1, 10, 20, 30):  # 1 is the last iteration before the recording
                training.loss = loss_of(training.evaluate(2))
            if i == 25:
                training.restore(training.checkpoint())
        if i in (1, 10, 20, 30):
            assert ordinary.loss == recorded.loss


def test_ids_that_need_more_than_a_byte(tmp_path, monkeypatch):
    """They are on the GPU too, with any type in the cache."""
    monkeypatch.setattr(graphed, "record", record_on_cpu)
    monkeypatch.setattr(graphed, "CHUNK", 500)
    (tmp_path / "input.txt").write_text("".join(chr(0x4E00 + i * i % 1009) for i in range(2000)))
    arguments = "-encoding utf-8 -rnn_size 8 -batch_size 4 -seq_length 10 -gpuid -1 -cell fused".split()
    options = train_options("-data_dir", tmp_path, *arguments)
    ordinary, other = prepare(options), prepare(options)
    assert ordinary.loader.vocab_size > 256
    recorded = graphed.GraphedTraining(options, other.network, other.loader, other.random)
    for _ in range(60):  # more than an epoch
        assert ordinary.iteration() == recorded.iteration()


@pytest.mark.parametrize("model", list(CELLS))
def test_recorded_characters_are_the_ordinary_ones(monkeypatch, model):
    network = BACKENDS["fused"](model, 11, 6, 2)
    network.params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5))
    recordings = []
    monkeypatch.setattr(session, "record", lambda *how: recordings.append(how) or record_on_cpu(*how))
    shared = Model(network, Vocabulary(b"abcdefghijk"), use_numpy=False)
    ordinary, recorded = session.Step(shared), session.GraphedStep(shared)
    for id_ in (1, 2, 3, 4, 5, 4, 0, 10, 3):
        assert (ordinary(id_) == recorded(id_)).all()
        assert len(recordings) == (id_ != 1)  # at the second character, and never again
    copies = ordinary.copy(), recorded.copy()
    for id_ in (7, 8, 9):  # copies are independent
        assert (copies[0](id_) == copies[1](id_)).all()
        assert (ordinary(id_ - 5) == recorded(id_ - 5)).all()


def test_the_first_iteration_after_a_resume_is_not_recorded(recordings, play, monkeypatch):
    """A graph can be recorded only after the buffers were allocated."""
    monkeypatch.setattr(graphed, "record", None)
    ordinary, recorded = trainings(play, recordings, "lstm")
    ordinary.iteration()
    recorded.network.params.copy_(ordinary.network.params)
    recorded.restore(ordinary.checkpoint())
    assert ordinary.iteration() == recorded.iteration()


def test_text_is_on_the_device_as_it_is(recordings, play):
    _, recorded = trainings(play, recordings, "lstm")
    text = (RECORDINGS / "play/input.txt").read_bytes()
    loader = recorded.loader
    assert loader.vocab.decode(recorded._text.tolist()) == text[: len(loader.ids)]


@NEEDS_CUDA
def test_a_recording_keeps_its_tensors():
    """A graph has the addresses of tensors without other references: their memory must not be reused."""
    device = torch.device("cuda", 0)

    def recorded() -> tuple:
        numbers = torch.ones(1 << 20, device=device)
        return weakref.ref(numbers), device_module.record(lambda: numbers.add_(1), device)

    held, replay = recorded()
    assert held() is not None
    replay()
    assert (held() == 2).all()


@NEEDS_CUDA
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "lstm_dropout"])
def test_cuda_loses_what_the_cpu_loses(recordings, play, name):
    """float32 on both, 200 iterations: within 1e-3 of each other, within 1e-5 in the first 20."""
    arguments = ["-data_dir", play, "-dtype", "float32", *arguments_of(recordings["runs"][name])]
    on_cpu = prepare(train_options(*arguments))
    place = arguments.index("-gpuid") + 1
    arguments[place] = "0"
    on_cuda = prepare(train_options(*arguments))
    assert isinstance(on_cuda, graphed.GraphedTraining)
    for i in range(1, 201):
        assert abs(on_cpu.iteration() - on_cuda.iteration()) < (1e-5 if i <= 20 else 1e-3)


@NEEDS_CUDA
def test_cuda_predicts_what_the_cpu_predicts():
    """float32 on both, 20 characters: log-probabilities within 1e-5."""
    networks = [BACKENDS["fused"]("lstm", 11, 6, 2, dtype=torch.float32, device=device) for device in ("cpu", "cuda")]
    networks[0].params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(5))
    networks[1].params.copy_(networks[0].params)
    on_cpu, on_cuda = (Session(Model(network, Vocabulary(b"abcdefghijk"))) for network in networks)
    for id_ in [4, 5, 4, 0, 10] * 4:
        on_cpu.feed([id_])
        on_cuda.feed([id_])
        assert np.abs(on_cpu.log_probs() - on_cuda.log_probs()).max() < 1e-5
