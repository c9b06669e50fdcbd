"""Defines the options of the verbs that convert, export and serve a network."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from charrnn_port.options.fields import OptionError, Options, argument, option, switch
from charrnn_port.options.shared import DTYPES, dtype_option, model_argument, unknown_option

DEFAULT_PORTS = {"http": 80, "https": 443}

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
        "the file to write; its extension chooses the format: .html, .mjs, .onnx, .pt2, .torchscript, .safetensors; "
        "FOLDER/ with a slash: a folder for the Hugging Face hub",
    )
    weights: str = option(
        "float64", "floating-point type of the weights; .safetensors keeps the checkpoint's", "result",
        "float32 halves the file and float16 (.html, .mjs) quarters it. Texts then differ from sample.py's.",
        choices=(*DTYPES, "float16"),
    )
    title: str = option(
        "", "title of the page, for .html and a folder", "page",
        "It is the page's heading. By default, it says what the page is.",
    )
    description: str = option(
        "", "introduction of the page, such as what the network read, for .html and a folder", "page",
        "It replaces the page's own introduction, and search engines show it.",
    )


@dataclass(frozen=True)
class LessonOptions(Options):
    """The options of `charrnn lesson`."""

    target: str = argument("FILE", "the page to write, .html")
    text: str = option(
        "", "file with the text to learn; default: a play that is included", "result",
        "The page contains this text. Pupils can also paste or open another there.",
    )


@dataclass(frozen=True)
class ServeOptions(Options):
    """The options of `charrnn serve`."""

    checkpoints: tuple[str, ...] = argument(
        "MODEL...",
        "checkpoints of train.py, the Lua original or torch-rnn; of a folder, the best of its latest run; "
        "hf:USER/REPO: from the Hugging Face hub",
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
        "", "web origins that may send requests, such as https://example.org; * = all", "access",
        "Otherwise only the server's own page may. Several are separated by commas or spaces.",
    )
    hosts: str = option(
        "", "further names of this server, such as that of a proxy; * = all", "access",
        "localhost, IP addresses and names without a dot need not be given. Requests to other names are refused, so "
        "that a web page cannot reach the server through a name of its own (DNS rebinding).",
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

    def __post_init__(self) -> None:
        super().__post_init__()
        key = self.api_key or os.environ.get("CHARRNN_API_KEY", "")
        if key and not (key.strip() and key.strip().isprintable()):
            raise OptionError(f"{'-api_key' if self.api_key else 'CHARRNN_API_KEY'}: no valid API key: {key!r}")
        object.__setattr__(self, "api_key", key.strip())
        object.__setattr__(self, "cors", " ".join(map(origin_of, words_of(self.cors))))
        object.__setattr__(self, "hosts", " ".join(words_of(self.hosts)).lower())


def words_of(text: str) -> list[str]:
    """Return words that are separated by commas or spaces."""
    return text.replace(",", " ").split()


def origin_of(url: str) -> str:
    """Return a web origin as browsers send it: in small letters, without a slash at the end and the default port.

    Raises OptionError for what is not an origin, such as a name without a scheme.
    """
    if url in ("*", "null"):
        return url
    try:
        parts = urlsplit(url.lower())
        port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
        if parts.scheme and parts.hostname and (parts.path or "/", parts.query, parts.fragment) == ("/", "", ""):
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            return f"{parts.scheme}://{host}{port}"
    except ValueError:
        pass  # an invalid port or IPv6 address
    raise OptionError(f"-cors: {url!r} is not an origin, such as https://example.org")
