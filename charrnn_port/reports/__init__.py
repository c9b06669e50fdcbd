"""Reports about a network, a text or a machine. Each report is a module here and a verb of `charrnn`.

    inspect      print the contents of a checkpoint
    compare      decide whether two runs are identical, differ by rounding, or differ by an error
    plot         draw the losses of runs
    search       search over training options by successive halving
    evaluate     measure the loss of a network on a text
    benchmark    measure speed against nn.LSTM, the matrix products alone, and the processor's limits; a package, also
                 for training beside other processes (contention.py) and for the server (serving.py)
    verify       check this port against recordings of the original on this machine; a package
    split        write the training, validation and test text of a run to files
    score        report cross-entropy and perplexity of texts: in total, by line and by character
    copied       find passages of samples in the training text, beside held-out text and chance
    trace        write states, gates and predictions at each character of a text to a file
    look         make a page for the interpretation of single units, or a figure of one unit; a package

Shared modules: history.py reads a run from a log, a CSV file or a checkpoint; text_stream.py reads texts of any length
in blocks; splits.py finds the pieces of a text in a run's splits; trained_on.py finds how much of a text a network was
trained on; scoring.py computes predictions for each character; heat.py prints a text as a heatmap; printing.py prints
tables and JSON; drawing.py draws figures without a window; machine.py describes the machine; matches.py finds passages
in a text; whole_texts.py finds samples that are whole texts of a list; copied_page.py is the page of copied.py;
search_space.py reads the space of search.py and draws from it.

Only charrnn_port/__main__.py imports this package.
"""
