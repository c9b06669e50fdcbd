"""Tests sample.py in notebooks, and with newlines as shells spell them."""

import io
import sys

import pytest
from conftest import RECORDINGS, assert_one_line_error, run_sample

from charrnn_port.programs import sample

LSTM = RECORDINGS / "lua_checkpoints/lstm.t7"


def test_a_stdout_that_takes_text_only(monkeypatch, recordings):
    """As in a notebook, stdout has no `buffer` for bytes."""
    recorded = recordings["runs/lstm/samples/seed123"]
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit) as end:
        sample.main([str(LSTM), "-gpuid", "-1", "-verbose", "0", *recorded.attrs["arguments"]])
    assert not end.value.code
    assert out.getvalue() == bytes(recorded[:]).decode(errors="replace")


def test_a_backslash_is_no_newline():
    """In `-primetext "a\\nb"` the newline is two characters, as in the original; the error shows how to type one."""
    assert_one_line_error(run_sample(LSTM, "-primetext", r"The\nend"), 1, "position 3", r"$'\n'")
    assert run_sample(LSTM, "-primetext", "The\nend", "-length", 5).exit_code == 0


def test_a_byte_is_shown_as_it_was_typed():
    assert_one_line_error(run_sample(LSTM, "-primetext", "The 🙂"), 1, "'🙂'", "position 4")
