"""Sampling: an immutable model of a trained network, and sessions on it.

Public API of the package:

    Model                the converted weights of a network; thread-safe (model.py)
    Session              one text in progress on a model: its state and the scores of the next character (session.py)
    log_probs_of(...)    log-probabilities from scores
    BatchedSession       several texts in progress, each of which may begin and end at any time (batch.py)
    samplers             greedy, categorical, top-k, nucleus (top-p) and min-p sampling (samplers.py)
    choices              aliases of samplers from version 0.2 (choices.py)
    sample_bytes(...)    the bytes that sample.py prints for a checkpoint (text.py)
    texts_of(...)        the texts of one or several seeds, for a model and the options of sample.py (batch.py)
    sampler_of(...)      the sampler that the options select (text.py)
    is_unfiltered(...)   whether the options sample from all characters (text.py)
    StopSequenceBuffer   holds back text that may be the beginning of a stop sequence (text.py)
    until(...)           a text up to a stop sequence (text.py)
    bias_of(...)         parses -ban, -only and -bias (bias.py)
    clamps_of(...)       parses -clamp (clamp.py)
    streams              input of prime texts and output of samples (streams.py)
    interactive(...)     an interactive prompt (prompt.py)
    trace(...)           activations of a network for each character of a text (activations.py)
    Activations          the activations at one character (activations.py)
    connectivity(...)    what predictions rest on: gradient × input (connectivity.py)
"""

from charrnn_port.sampling import choices, samplers, streams
from charrnn_port.sampling.activations import Activations, trace
from charrnn_port.sampling.batch import BatchedSession, texts_of
from charrnn_port.sampling.bias import bias_of
from charrnn_port.sampling.clamp import clamps_of
from charrnn_port.sampling.connectivity import connectivity
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.prompt import interactive
from charrnn_port.sampling.session import Session, log_probs_of
from charrnn_port.sampling.text import StopSequenceBuffer, is_unfiltered, sample_bytes, sampler_of, until

__all__ = [
    "Activations",
    "BatchedSession",
    "Model",
    "Session",
    "StopSequenceBuffer",
    "bias_of",
    "choices",
    "clamps_of",
    "connectivity",
    "interactive",
    "is_unfiltered",
    "log_probs_of",
    "sample_bytes",
    "sampler_of",
    "samplers",
    "streams",
    "texts_of",
    "trace",
    "until",
]
