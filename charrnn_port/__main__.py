"""`python -m charrnn_port VERB`: what is not training or sampling. VERB -help tells more."""

import sys

from charrnn_port import benchmark, checkpoint_tools
from charrnn_port.command_line import fail

VERBS = {"inspect": checkpoint_tools.inspect, "convert": checkpoint_tools.convert, "benchmark": benchmark.main}


def main() -> None:
    """Hand over to the verb."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb in VERBS:
        VERBS[verb](sys.argv[2:], prog_name=f"python -m charrnn_port {verb}")
    fail(f"usage: python -m charrnn_port {'|'.join(VERBS)} [OPTIONS]; -help after the verb tells them", 2)


if __name__ == "__main__":
    main()
