"""What a trained network says next: a network that never changes, and sessions on it.

For other rooms and programs:

    Model                a network's weights, converted once; any number of threads may share it (model.py)
    Session              one text in progress on a model: its state, and the scores of what comes next (session.py)
    log_probs_of(...)    log-probabilities from scores
    BatchedSession       several, whose texts may begin and end at any time (batch.py)
    samplers             how the next character is chosen from them, and among which (samplers.py)
    choices              the same by the names of version 0.2 (choices.py)
    sample_bytes(...)    the bytes that sample.py prints for a checkpoint (text.py)
    texts_of(...)        those of one or several seeds, for a model and sample.py's options (batch.py)
    sampler_of(...)      how those options choose a character (text.py)
    is_unfiltered(...)   whether they only draw it (text.py)
    StopSequenceBuffer   what of a text can be shown, which one of several stops may end (text.py)
    clamps_of(...)       which units -clamp holds, and where (clamp.py)
    streams              where prime texts come from and where texts go (streams.py)
    interactive(...)     a prompt that asks for one prime text after the other (prompt.py)
    trace(...)           what goes on in a network while it reads: states, gates, predictions (activations.py)
    Activations          that at one character (activations.py)
"""

from charrnn_port.sampling import choices, samplers, streams
from charrnn_port.sampling.activations import Activations, trace
from charrnn_port.sampling.batch import BatchedSession, texts_of
from charrnn_port.sampling.clamp import clamps_of
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.prompt import interactive
from charrnn_port.sampling.session import Session, log_probs_of
from charrnn_port.sampling.text import StopSequenceBuffer, is_unfiltered, sample_bytes, sampler_of

__all__ = [
    "Activations",
    "BatchedSession",
    "Model",
    "Session",
    "StopSequenceBuffer",
    "choices",
    "clamps_of",
    "interactive",
    "is_unfiltered",
    "log_probs_of",
    "sample_bytes",
    "sampler_of",
    "samplers",
    "streams",
    "texts_of",
    "trace",
]
