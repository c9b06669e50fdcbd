"""Karpathy's char-rnn (Lua/Torch7, 2015) in PyTorch, digit for digit: what train.py and sample.py stand on."""
