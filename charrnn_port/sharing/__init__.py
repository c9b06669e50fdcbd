"""How a network leaves: a way out is a file here, and a verb of `charrnn`.

    convert      to the Lua original and back
    export       to a page or a JavaScript module: for each ending of a file's name a function, in a file of its own

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
