"""Commands that convert, export and serve checkpoints: each is a module here and a verb of `charrnn`.

    convert      between this port's format, the Lua original's and safetensors
    export       to a page, JavaScript, ONNX, PyTorch or a folder for the Hugging Face hub: one function for each ending
    lesson       a page that trains a network in the browser (its sources are in lesson/)
    serve        over HTTP (the parts of the server are in server/)

Only charrnn_port/__main__.py imports this package.
"""
