"""What a trained network says next: a network that never changes, and sessions on it.

For other rooms and programs:

    Model                a network's weights, converted once; any number of threads may share it (model.py)
    Session              one text in progress on a model: its state, and the scores of what comes next (session.py)
    choices              how the next character is chosen from them: drawn, or the likeliest (choices.py)
    sample_bytes(...)    the bytes that sample.py prints for a checkpoint
    trace(...), Inside   what goes on in a network while it reads: states, gates, predictions (inside.py)
"""

from charrnn_port.sampling import choices
from charrnn_port.sampling.inside import Inside, trace
from charrnn_port.sampling.model import Model
from charrnn_port.sampling.session import Session, sample_bytes

__all__ = ["Inside", "Model", "Session", "choices", "sample_bytes", "trace"]
