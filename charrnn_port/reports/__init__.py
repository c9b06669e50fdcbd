"""What is told about a network or a machine: a report is a file here, and a verb of `charrnn`.

    inspect      what is in a checkpoint
    benchmark    how fast, next to nn.LSTM and to the matrix products alone
    verify       whether what is promised holds on a machine; a room of its own

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
