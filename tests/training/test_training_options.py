"""Optimizers, schedules and clipping compared with PyTorch's step by step; with each, a run resumes exactly."""

import math
import sys

import pytest
import torch
from conftest import assert_one_line_error, loss_of, run_train, train_options
from runs import EVERY, SMALL, TEXT, assert_same, log_lines, saved

from charrnn_port.device import choose_products
from charrnn_port.model import BACKENDS
from charrnn_port.training import Training, optimizers, prepare, run, schedules
from charrnn_port.training.events import Evaluated, Finished, Iteration, RateDecayed, Stopped
from charrnn_port.training.iteration import clip_norm
from charrnn_port.training.loss_scale import LossScale
from charrnn_port.training.parallel import SingleProcess
from charrnn_port.util.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def start(tmp_path):
    """Return arguments of a run of 144 iterations with an evaluation every 20; an epoch is 48."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.txt").write_bytes(TEXT)
    return [*SMALL, *EVERY, "-data_dir", tmp_path / "data", "-checkpoint_dir", tmp_path / "cv"]


def events_of(*arguments):
    return list(run(prepare(train_options(*arguments))))


def bring(monkeypatch, losses):
    """Let the evaluations, every 20 iterations and at the end, return these validation losses."""

    def evaluate(training, *given):
        return float(losses[math.ceil(training.i / 20) - 1])
        yield

    monkeypatch.setattr(Training, "evaluate", evaluate)


def rates(events):
    """Return the learning rate of each iteration."""
    return [event.learning_rate for event in events if isinstance(event, Iteration)]


# Optimizers


@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize(
    ("name", "yardstick"),
    [
        ("rmsprop", lambda params, **rest: torch.optim.RMSprop(params, alpha=0.95, eps=1e-8, **rest)),
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("adam -beta2 0.9", lambda params, **rest: torch.optim.Adam(params, betas=(0.9, 0.9), **rest)),
    ],
)
def test_optimizers_are_those_of_torch(name, yardstick, weight_decay):
    """50 steps in float64 agree to the last digits, with a change of the learning rate."""
    generator = torch.Generator().manual_seed(1)
    ours = torch.randn(1000, dtype=torch.float64, generator=generator)
    theirs = ours.clone().requires_grad_()
    optimizer = optimizers.create(train_options("-optimizer", *name.split(), "-weight_decay", weight_decay), ours)
    yardstick = yardstick([theirs], lr=2e-3, weight_decay=weight_decay)
    for step in range(50):
        if step == 30:
            optimizer.learning_rate = yardstick.param_groups[0]["lr"] = 5e-4
        gradient = torch.randn(1000, dtype=torch.float64, generator=generator)
        theirs.grad = gradient.clone()
        yardstick.step()
        kept = gradient.clone()
        optimizer.step(gradient)
        assert torch.equal(gradient, kept)  # the log line prints their norm
        assert torch.allclose(ours, theirs.detach(), rtol=1e-13, atol=1e-15)


def test_a_changed_optimizer_changes_the_run(start):
    losses = {
        words: [event.train_loss for event in events_of(*start, *words.split()) if isinstance(event, Iteration)]
        for words in ("", "-optimizer adam", "-optimizer adamw -weight_decay 9", "-weight_decay 9", "-clip_norm 1")
    }
    assert len({tuple(each) for each in losses.values()}) == len(losses)
    assert all(each[0] == losses[""][0] for each in losses.values())


# Clipping


@pytest.mark.parametrize("maximum", [0.5, 1e3])
def test_clip_norm_is_torch_s(maximum):
    """Up to rounding, since PyTorch adds the squares in another order. A small norm changes nothing."""
    gradients = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parameter = torch.nn.Parameter(torch.zeros(1000, dtype=torch.float64))
    parameter.grad = gradients.clone()
    torch.nn.utils.clip_grad_norm_([parameter], maximum)
    before = gradients.clone()
    clip_norm(gradients, maximum)
    torch.testing.assert_close(gradients, parameter.grad, rtol=1e-15, atol=0)
    assert torch.equal(gradients, before) == (maximum > 100)


def test_a_step_is_with_the_clipped_gradient(start):
    training = prepare(train_options(*start, "-clip_norm", 0.01, "-grad_clip", 1e-3))
    training.iteration()
    assert training.network.grad_params.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert training.network.grad_params.abs().max() <= 1e-3
    assert training.optimizer.mean_square.sum().item() == pytest.approx(0.05 * 0.01**2, rel=1e-2)


def test_the_mean_of_all_processes_is_clipped(start):
    """Averaging comes before clipping: here it makes small gradients large."""
    training = prepare(train_options(*start, "-clip_norm", 0.5))
    training.processes.average = lambda gradients, loss: gradients.mul_(1000)
    training.iteration()
    assert training.network.grad_params.norm().item() == pytest.approx(0.5, rel=1e-3)


class Half(SingleProcess):
    """One of two processes. It does not exchange anything with the other one, but doubles the losses of evaluations."""

    count = 2

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def average(self, *tensors: torch.Tensor) -> None:
        """Double a single number, instead of the mean over both processes."""
        if tensors[0].dim() == 0:
            tensors[0].mul_(2)


def test_each_process_has_its_rows(start):
    """Its losses, gradients, dropout masks and states are those of its half of the rows."""
    options = train_options(*start, "-dropout", 0.5)
    whole, *halves = (prepare(options, processes=each) for each in (None, Half(0), Half(1)))
    evaluated, *theirs = (loss_of(each.evaluate(2)) for each in (whole, *halves))
    assert sum(theirs) / 2 == pytest.approx(2 * evaluated, rel=1e-12)
    loss, *theirs = (each.iteration() for each in (whole, *halves))
    assert sum(theirs) / 2 == pytest.approx(loss, rel=1e-12)
    gradients = [each.network.grad_params for each in (whole, *halves)]
    assert torch.allclose(gradients[0], (gradients[1] + gradients[2]) / 2, rtol=0, atol=1e-15)
    for state, *parts in zip(*(each.state for each in (whole, *halves)), strict=True):
        assert torch.allclose(state, torch.cat(parts), rtol=0, atol=1e-15)
    for each, rows in zip(halves, (slice(0, 2), slice(2, 4)), strict=True):
        each.restore(whole.checkpoint())
        assert all(torch.equal(ours, state[rows]) for ours, state in zip(each.state, whole.state, strict=True))


# Schedules


def test_cosine_is_torch_s(start):
    """Equals CosineAnnealingLR over the iterations of the run, within rounding; the last rate is the smallest."""
    events = events_of(*start, "-lr_schedule", "cosine")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 144)
    expected = []
    for _ in range(144):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert rates(events) == pytest.approx(expected, rel=1e-9)
    assert not any(isinstance(event, RateDecayed) for event in events)


def test_plateau_is_torch_s():
    """Equals ReduceLROnPlateau with the same losses: some better, some better by too little, some worse."""
    options = train_options("-lr_schedule", "plateau", "-learning_rate_decay", 0.5, "-learning_rate_decay_after", 0)
    ours = optimizers.create(options, torch.zeros(1))
    schedule = schedules.create(options, ours, 10)
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-3)
    yardstick = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.5, patience=0, eps=0)
    found = []
    for i, loss in enumerate([3, 2, 2.5, 1.99999, 1.9, 1.9, 1.8, 2, 2, 2], 1):
        before = ours.learning_rate
        factor = schedule.after_evaluation(i, loss)
        yardstick.step(loss)
        assert ours.learning_rate == theirs.param_groups[0]["lr"]
        assert ours.learning_rate == before * (factor or 1)
        found.append(factor)
    assert found == [None, None, 0.5, 0.5, None, 0.5, None, 0.5, 0.5, 0.5]


def test_plateau_in_a_run(start, monkeypatch):
    """From -learning_rate_decay_after on. The event follows the evaluation and has the next iterations' rate."""
    bring(monkeypatch, [3, 2, 2.5, 1.9, 2, 2, 1.8, 2])
    words = "-lr_schedule plateau -learning_rate_decay 0.5 -learning_rate_decay_after 2".split()
    events = events_of(*start, *words)
    decays = [event for event in events if isinstance(event, RateDecayed)]
    assert decays == [RateDecayed(100, 0.5, 1e-3), RateDecayed(120, 0.5, 5e-4), RateDecayed(144, 0.5, 2.5e-4)]
    for decay in decays:
        before = events[events.index(decay) - 1]
        assert isinstance(before, Evaluated)
        assert before.checkpoint.progress["optimizer"]["learning_rate"] == decay.learning_rate
    assert rates(events) == [2e-3] * 100 + [1e-3] * 20 + [5e-4] * 24


@pytest.mark.parametrize(("schedule", "decays"), [("decay", [48, 96, 144]), ("cosine", []), ("plateau", [40, 120])])
def test_warmup_is_a_ramp_on_any_schedule(start, monkeypatch, schedule, decays):
    """i/60 of the rate without warmup, in the first 60 iterations; a decay happens during them."""
    bring(monkeypatch, [3, 3, 2.5, 1.9, 1.8, 2, 1.7, 1.6])
    words = [*start, "-lr_schedule", schedule, "-learning_rate_decay", 0.5]
    words += ["-learning_rate_decay_after", 0]
    plain, warm = events_of(*words), events_of(*words, "-warmup", 60)
    expected = [rate * min(i / 60, 1) for i, rate in enumerate(rates(plain), 1)]
    assert rates(warm) == pytest.approx(expected, rel=1e-12)
    found = [event for event in warm if isinstance(event, RateDecayed)]
    assert [(event.i, event.factor) for event in found] == [(i, 0.5) for i in decays]


# Resuming


@pytest.mark.parametrize(
    "words",
    [
        "-optimizer adam -weight_decay 0.01",
        "-optimizer adamw -weight_decay 0.01 -clip_norm 2",
        "-weight_decay 0.1 -lr_schedule cosine -warmup 60",
        "-lr_schedule plateau -learning_rate_decay 0.5 -learning_rate_decay_after 0 -warmup 50",
        pytest.param("-dtype bfloat16 -optimizer adamw -lr_schedule cosine", marks=pytest.mark.long),
    ],
)
def test_the_rest_is_the_same(start, words, monkeypatch, tmp_path):
    """Resumed after 40 iterations, during a warmup; the plateau lowers the rate before and after."""
    if "plateau" in words:
        bring(monkeypatch, [3, 3, 2, 2.01, 1.9, 2, 1.8, 1.7])
    whole = run_train(*start, *words.split())
    checkpoints = saved(tmp_path / "cv")
    resumed = run_train("-resume", checkpoints[40][0], "-checkpoint_dir", tmp_path / "rest")
    assert resumed.exit_code == 0, resumed.output
    assert log_lines(resumed.stdout) == log_lines(whole.stdout)[40:]
    assert_same(saved(tmp_path / "rest")[144][1], checkpoints[144][1])
    if "plateau" in words:
        assert [each.stdout.count("decayed learning rate") for each in (whole, resumed)] == [3, 2]


@pytest.mark.parametrize(
    "words",
    ["-optimizer adam", "-weight_decay 0.1", "-lr_schedule plateau", "-warmup 3", "-clip_norm 3", "-dtype bfloat16"],
)
def test_they_are_of_the_run(start, words, tmp_path):
    run_train(*start, "-max_epochs", 0.5)
    path = saved(tmp_path / "cv")[20][0]
    assert_one_line_error(run_train("-resume", path, *words.split()), 1, words.split()[0], "would change the run")


def test_cosine_s_end_is_of_the_run(start, tmp_path):
    run_train(*start, "-lr_schedule", "cosine")
    path = saved(tmp_path / "cv")[40][0]
    assert_one_line_error(run_train("-resume", path, "-max_epochs", 4), 1, "-max_epochs 4.0 would change the run")
    assert run_train("-resume", path, "-max_epochs", 3, "-checkpoint_dir", tmp_path / "rest").exit_code == 0


def test_after_the_end_of_cosine_a_new_run_is_advised(start, tmp_path):
    """The advice is what works: -resume refuses another -max_epochs."""
    result = run_train(*start, "-lr_schedule", "cosine", "-max_epochs", 0.55)
    path = tmp_path / "cv/lm_lstm_finished.t7.pt"
    assert f"to train it further: python train.py -init_from {path}, a new run" in result.stderr
    assert "-resume" not in result.stderr
    for name, its_path in ((path, path), ("latest", tmp_path / "cv")):
        resumed = run_train("-resume", name, "-checkpoint_dir", tmp_path / "cv")
        assert resumed.stdout.endswith(f"cannot be extended: start a new run with -init_from {its_path}\n")
    further = run_train(*start, "-init_from", path, "-checkpoint_dir", tmp_path / "further", "-max_epochs", 0.1)
    assert further.exit_code == 0, further.output


@pytest.mark.parametrize("damage", [{"steps": None}, {"mean": 0.5}, {"mean_square": None}])
def test_damaged_states_of_adam_are_named(start, damage, tmp_path):
    training = prepare(train_options(*start, "-optimizer", "adam"))
    state = {name: value for name, value in (training.optimizer.state() | damage).items() if value is not None}
    with pytest.raises((KeyError, TypeError)):
        training.optimizer.load_state(state)


# Early stopping


@pytest.mark.parametrize(
    ("losses", "patience", "last"),
    [
        ([3, 2, 2, 2.1, 1, 1, 1, 1], 2, Stopped(80, 40, 2)),
        ([3, 2, 2.1, 1.9, 2, 1.8, 2, 2], 2, Finished(144, None)),  # at the end there is nothing left to stop
        ([math.nan, 3, math.nan, 4, 2, 1, 1, 1], 2, Stopped(80, 40, 3)),
        ([math.nan] * 8, 2, Finished(144, None)),
        ([2, 3, 4, 5, 6, 7, 8, 9], 0, Finished(144, None)),
        ([2, 3, 4, 5, 6, 7, 8, 9], 1, Stopped(40, 20, 2)),
    ],
)
def test_patience(start, monkeypatch, losses, patience, last):
    bring(monkeypatch, losses)
    assert events_of(*start, "-patience", patience)[-1] == last


def test_a_run_that_stopped(start, monkeypatch, tmp_path):
    """It is saved, prints which evaluation was best, and continues with another -patience; exit status 0."""
    bring(monkeypatch, [3, 2, 2.5, 2.4, 2.3, 2.2, 1.9, 1.8])
    stopped = run_train(*start, "-patience", 2)
    assert stopped.exit_code == 0
    assert max(saved(tmp_path / "cv")) == 80
    line = (
        "stopped after iteration 80 (early stopping): the best validation loss is 2.0000, after iteration 40; "
        f"to go on: python train.py -resume latest -checkpoint_dir {tmp_path / 'cv'} with another -patience"
    )
    assert stopped.stderr.splitlines()[-1] == line
    again = run_train("-resume", "latest", "-checkpoint_dir", tmp_path / "cv")
    assert (again.exit_code, log_lines(again.stdout)) == (0, [])
    assert again.stderr.splitlines()[-1] == line
    on = run_train("-resume", "latest", "-patience", 0, "-checkpoint_dir", tmp_path / "cv")
    whole = run_train(*start, "-checkpoint_dir", tmp_path / "whole")
    assert log_lines(stopped.stdout + on.stdout) == log_lines(whole.stdout)


@pytest.mark.parametrize("words", ["-patience 1", "-lr_schedule plateau"])
def test_what_goes_by_validation_losses_needs_some(start, words):
    assert_one_line_error(run_train(*start, "-val_frac", 0, "-train_frac", 1, *words.split()), 1, words, "-val_frac")


# Devices


@pytest.mark.parametrize(("opencl", "line"), [(1, "PyTorch has no OpenCL!"), (0, "no GPU found: PyTorch sees ")])
def test_the_lack_of_a_gpu_is_printed_first(start, monkeypatch, opencl, line):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    lines = []
    prepare(train_options(*start, "-gpuid", 0, "-opencl", opencl), echo=lines.append)
    assert lines[0].startswith(line)
    assert lines[1] == "Falling back on CPU mode"


# Mixed precision


def test_tf32_is_a_setting_of_pytorch(start):
    for tf32 in (1, 0):
        prepare(train_options(*start, "-tf32", tf32))
        assert torch.backends.cuda.matmul.allow_tf32 == bool(tf32)


@pytest.mark.parametrize("model", [*(pytest.param(name, marks=pytest.mark.long) for name in ("lstm", "gru")), "rnn"])
def test_bfloat16_follows_float32(start, model):
    """Parameters, gradients and state are float32; losses are within 0.01 of those of float32, later within 0.05."""
    words = [*start, "-model", model, "-state_carry", "copy", "-dropout", 0.2, "-learning_rate", 0.01, "-seed", 2]
    mixed, single = [prepare(train_options(*words, "-dtype", dtype)) for dtype in ("bfloat16", "float32")]
    losses = [(mixed.iteration(), single.iteration()) for _ in range(60)]
    assert all(abs(ours - theirs) < (0.01 if i < 20 else 0.05) for i, (ours, theirs) in enumerate(losses))
    assert losses[-1][0] < losses[0][0] - 0.3
    assert losses[-1][0] != losses[-1][1]
    tensors = [mixed.network.params, mixed.network.grad_params, mixed.optimizer.mean_square, *mixed.state]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_products_alone_are_rounded():
    """The factor 257, which bfloat16 cannot represent, counts as 256."""
    network = BACKENDS["plain"]("rnn", 3, 2, 1, dtype=torch.float32)
    network.decoder["weight"].data.fill_(257)
    network.layers[0]["h2h_bias"].data.fill_(20)  # tanh is 1
    ids = torch.zeros(1, 1, dtype=torch.int64)
    network.decoder["weight"].data[1:].zero_()
    exact = network.log_probs(ids, network.zero_state(1))[0]
    network.products = torch.bfloat16
    rounded = network.log_probs(ids, network.zero_state(1))[0]
    assert rounded.dtype == torch.float32
    assert exact.flatten().tolist() == [0, -514, -514]
    assert rounded.flatten().tolist() == [0, -512, -512]


def test_mixed_precision_says_what_it_costs(start):
    result = run_train(*start, "-dtype", "bfloat16", "-max_epochs", 0.1)
    assert result.exit_code == 0
    assert "cell: plain, float32" in result.stderr
    assert "products are rounded to bfloat16; on a CPU this is only for testing" in result.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("-dtype float16", "-dtype float16: supported on NVIDIA GPUs only; use float32"),
        (
            "-dtype bfloat16 -cell fused",
            "-cell fused does not support mixed precision: use -cell plain with -dtype bfloat16",
        ),
    ],
)
def test_mixed_precision_that_cannot_be(start, words, error):
    assert_one_line_error(run_train(*start, *words.split()), 1, error)


def test_mixed_precision_elsewhere(monkeypatch):
    with pytest.raises(UserError, match="-dtype bfloat16: supported on NVIDIA GPUs only"):
        choose_products("bfloat16", torch.device("mps"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(UserError, match="this GPU does not support it; use float16"):
        choose_products("bfloat16", torch.device("cuda"))
    assert choose_products("float16", torch.device("cuda")) == torch.float16
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert choose_products("bfloat16", torch.device("cuda")) == torch.bfloat16
    assert choose_products("float32", CPU) is None


def test_the_loss_scale_is_grad_scaler_s():
    """With some overflows and then 2000 iterations without: the scales are those of torch.amp.GradScaler."""
    network = BACKENDS["plain"]("rnn", 3, 2, 1)
    ours = LossScale(network)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0)
    yardstick = torch.amp.GradScaler("cpu")
    yardstick.scale(torch.zeros(1))
    for i in range(2100):
        value = {5: math.inf, 6: math.nan, 50: -math.inf}.get(i, 1.0)
        parameter.grad = torch.full((1,), value)
        yardstick.step(optimizer)
        yardstick.update()
        assert ours.fits(torch.tensor([0.0, value])) == math.isfinite(value)
        assert network.loss_scale == yardstick.get_scale()
    assert network.loss_scale == 65536 / 8 * 2
    state = ours.state()
    other = LossScale(BACKENDS["plain"]("rnn", 3, 2, 1))
    other.load_state(state)
    assert other.state() == state == {"scale": 16384.0, "good": 2100 - 51 - 2000}


def test_scaled_gradients_are_the_same():
    """Scaling by powers of two does not round: in float64 the gradients are the same."""
    ids = torch.randint(7, (9, 4), generator=torch.Generator().manual_seed(1))
    gradients = []
    for scale in (1.0, 1024.0):
        network = BACKENDS["plain"]("lstm", 7, 6, 2)
        network.params.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(2))
        network.loss_scale = scale
        network.training_pass(ids[:-1], ids[1:], network.zero_state(4), None, alias=False)
        gradients.append(network.grad_params)
    assert torch.equal(*gradients)


def test_no_step_is_taken_with_gradients_that_overflow(start, monkeypatch, tmp_path):
    """float16 on a CPU, which -dtype refuses: a scale that is too large is halved until steps are taken."""
    monkeypatch.setattr(sys.modules[prepare.__module__], "choose_products", lambda name, device: torch.float16)
    start += ["-dtype", "float16", "-learning_rate", 0.01]
    training = prepare(train_options(*start))
    training.network.loss_scale = 2.0**40
    before = training.network.params.clone()
    training.iteration()
    assert torch.equal(training.network.params, before)
    losses = [training.iteration() for _ in range(100)]
    assert training.network.loss_scale < 2**30
    assert losses[-1] < losses[0] - 0.5
    saved_state = training.checkpoint()
    assert saved_state.progress["loss_scale"] == training.loss_scale.state()
    saved_state.require_consistent()
    other = prepare(train_options(*start), saved=saved_state)
    assert other.loss_scale.state() == training.loss_scale.state()
    assert other.iteration() == training.iteration()
