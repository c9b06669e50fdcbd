"""How a network leaves: a way out is a file here, and a verb of `charrnn`.

    convert      to the Lua original and back
    serve        over HTTP (the server's parts are in server/)

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
