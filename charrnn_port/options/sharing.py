"""Defines the options of the verbs that convert, export and serve a network."""

from dataclasses import dataclass

from charrnn_port.options.fields import Options, argument, option, switch
from charrnn_port.options.shared import DTYPES, dtype_option, model_argument, unknown_option

# fmt: off


@dataclass(frozen=True)
class ConvertOptions(Options):
    """The options of `charrnn convert`."""

    source: str = model_argument()
    target: str = argument(
        "OUT", "the file to write: .t7 for the Lua original, .t7.pt for this port, or .safetensors"
    )


@dataclass(frozen=True)
class ExportOptions(Options):
    """The options of `charrnn export`."""

    checkpoint: str = model_argument()
    target: str = argument(
        "FILE",
        "the file to write; its extension chooses the format: .html, .mjs, .onnx, .pt2, .torchscript, .safetensors",
    )
    weights: str = option(
        "float64", "floating-point type of the weights; .safetensors keeps the checkpoint's", "result",
        "float32 halves the file and float16 (.html, .mjs) quarters it. Texts then differ from sample.py's.",
        choices=(*DTYPES, "float16"),
    )


@dataclass(frozen=True)
class ServeOptions(Options):
    """The options of `charrnn serve`."""

    checkpoints: tuple[str, ...] = argument(
        "MODEL...", "checkpoints of train.py, the Lua original or torch-rnn; of a folder, the best of its latest run",
        many=True,
    )
    host: str = option(
        "127.0.0.1", "address to listen on", "where",
        "0.0.0.0 accepts other machines: use -api_key too, and read docs/serving.md.",
    )
    port: int = option(
        8000, "port to listen on, 0 = any free port", "where",
        "The address is printed to stderr.",
        minimum=0, maximum=65535,
    )
    workers: int = option(
        1, "processes that share the port", "where",
        "Each loads all networks and can use its own core. A process that dies is replaced.",
        minimum=1,
    )
    dtype: str = dtype_option(
        "float64", "float64 gives the texts of sample.py; float32 is faster, and its texts differ sooner or later.",
        group="networks",
    )
    reload: int = switch(
        0, "1 = load a newer checkpoint when the file changes", "networks",
        "Texts in progress are finished with the old network.",
    )
    unknown: str = unknown_option(
        "error refuses the request and names the first such character of the prompt.", group="networks"
    )
    api_key: str = option(
        "", "clients must send `Authorization: Bearer KEY`; default: $CHARRNN_API_KEY", "access",
        "Without a key, every client is served. Prefer the variable: other users of the machine see command lines.",
    )
    cors: str = option(
        "", "web origin that may send requests, such as https://example.org; * = all", "access",
        "Otherwise browsers let only the server's own page read its responses.",
    )
    max_length: int = option(
        16384, "maximum length of prompt and completion together, in characters", "limits",
        "Longer requests are refused.",
        minimum=1,
    )
    max_body: int = option(
        1_000_000, "maximum size of a request, in bytes", "limits",
        "Larger requests are refused before they are read.",
        minimum=1,
    )
    streams: int = option(
        64, "maximum number of concurrent texts, for each network", "limits",
        "More raise the total number of characters per second and slow each text.",
        minimum=1,
    )
    queue: int = option(
        256, "maximum number of waiting texts, for each network", "limits",
        "Further requests are refused with status 429 and may be sent again.",
        minimum=0,
    )
    timeout: float = option(
        300.0, "maximum time of a response, in seconds", "limits",
        "After it, the response ends with an error.",
        above=0,
    )
