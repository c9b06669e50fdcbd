"""How a network leaves: a way out is a file here, and a verb of `charrnn`.

    convert      to the Lua original or safetensors, and back
    export       to a page, a JavaScript module, ONNX, PyTorch's own: for each ending of a file's name a function
    serve        over HTTP (the server's parts are in server/)

Nothing else of the project uses this room but charrnn_port/__main__.py.
"""
