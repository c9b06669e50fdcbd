"""The network: a cell a file, the stack of them in char_rnn.py, and all of it fused in fused.py."""

from functools import partial

from model.char_rnn import CharRNN
from model.fused import FusedCharRNN

# The three ways to run the cells: the same numbers, for reading, for TorchScript, for speed.
NETWORKS = {"plain": CharRNN, "script": partial(CharRNN, scripted=True), "fused": FusedCharRNN}
