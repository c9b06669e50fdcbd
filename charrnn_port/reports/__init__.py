"""What is told about a network, a text or a machine: a report is a file here, and a verb of `charrnn`.

    inspect      what is in a checkpoint
    benchmark    how fast, next to nn.LSTM and to the matrix products alone
    score        how well networks foretell texts, in all, by line and by character
    trace        states, gates and predictions at each character of a text, in a file

Inside: reading.py (texts of any length, block by block), figures.py (how well a network foretells them, character by
character), heat.py (that in colours).

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
