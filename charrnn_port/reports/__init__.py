"""What is told about a network or a machine: a report is a file here, and a verb of `charrnn`.

    inspect      what is in a checkpoint
    evaluate     how well a network predicts a text
    benchmark    how fast, next to nn.LSTM and to the matrix products alone

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
