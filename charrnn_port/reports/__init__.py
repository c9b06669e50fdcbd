"""What is told about a network or a machine: a report is a file here, and a verb of `charrnn`.

    inspect      what is in a checkpoint
    compare      whether two runs are the same, and if not, whether rounding or an error makes them differ
    plot         the losses of runs, drawn
    benchmark    how fast, next to nn.LSTM and to the matrix products alone
    verify       whether what is promised holds on a machine; a room of its own

Inside: history.py reads a run from whatever file holds one.

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
