"""What a trained network says next: a network that never changes, and sessions on it.

For other rooms and programs:

    Model                a network's weights, converted once; any number of threads may share it (model.py)
    Session              one text in progress on a model: its state, and the scores of what comes next (session.py)
    log_probs_of(...)    log-probabilities from scores
    Sessions             several, whose texts may begin and end at any time (batch.py)
    choices              how the next character is chosen from them, and among which (choices.py)
    sample_bytes(...)    the bytes that sample.py prints for a checkpoint (text.py)
    texts_of(...)        those of one or several seeds, for a model and sample.py's options (batch.py)
    choice_of(...)       how those options choose a character (text.py)
    only_draws(...)      whether they only draw it (text.py)
    HeldBack             what of a text can be shown, which one of several stops may end (text.py)
    clamps_of(...)       which units -clamp holds, and where (clamp.py)
    streams              where prime texts come from and where texts go (streams.py)
    interactive(...)     a prompt that asks for one prime text after the other (prompt.py)
    trace(...), Inside   what goes on in a network while it reads: states, gates, predictions (inside.py)
"""

from charrnn_port.sampling import choices, streams
from charrnn_port.sampling.batch import Sessions, texts_of
from charrnn_port.sampling.clamp import clamps_of
from charrnn_port.sampling.inside import Inside, trace
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.prompt import interactive
from charrnn_port.sampling.session import Session, log_probs_of
from charrnn_port.sampling.text import HeldBack, choice_of, only_draws, sample_bytes

__all__ = [
    "HeldBack",
    "Inside",
    "Model",
    "Session",
    "Sessions",
    "choice_of",
    "choices",
    "clamps_of",
    "interactive",
    "log_probs_of",
    "only_draws",
    "sample_bytes",
    "streams",
    "texts_of",
    "trace",
]
