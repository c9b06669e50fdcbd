"""Commands that convert, export and serve checkpoints: each is a module here and a verb of `charrnn`.

    convert      between this port's format, the Lua original's and safetensors
    export       to an HTML page, a JavaScript module, ONNX or PyTorch: one function for each file extension
    lesson       a page that trains a network in the browser (its sources are in lesson/)
    serve        over HTTP (the parts of the server are in server/)

Only charrnn_port/__main__.py imports this package.
"""
