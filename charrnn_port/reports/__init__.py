"""What is told about a network, a text or a machine: a report is a file here, and a verb of `charrnn`.

    inspect      what is in a checkpoint
    compare      whether two runs are the same, and if not, whether rounding or an error makes them differ
    plot         the losses of runs, drawn
    evaluate     how well a network predicts a text
    benchmark    how fast, next to nn.LSTM, to the products alone and to what a processor can do; a room of its own
                 also of training beside other work (contention.py there) and of a server (serving.py)
    verify       whether what is promised holds on a machine; a room of its own
    score        how well networks foretell texts, in all, by line and by character
    trace        states, gates and predictions at each character of a text, in a file
    look         a page to look at its units with, or a picture of one; a room of its own

Inside: history.py reads a run from whatever file holds one; text_stream.py reads texts of any length, block by block,
scoring.py tells how well a network foretells them, character by character, and heat.py shows that in colours.

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
