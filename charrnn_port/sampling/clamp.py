"""Parses -clamp: units whose outputs are fixed (ablation and intervention)."""

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.options import OptionError, lua_number


def clamps_of(text: str, checkpoint: Checkpoint) -> dict[tuple[int, int], float]:
    """Parse a text such as `2:131=0.9,1:5=0` into values by layer (from 1) and unit (from 0).

    Raises OptionError for invalid syntax, a unit that the network does not have, and a value outside [-1, 1].
    """
    found: dict[tuple[int, int], float] = {}
    layers, size = checkpoint.opt["num_layers"], checkpoint.opt["rnn_size"]
    for each in filter(None, text.split(",")):
        name, _, value = each.partition("=")
        layer, _, unit = name.partition(":")
        try:
            pair, number = (int(layer), int(unit)), float(lua_number(value))
        except ValueError:
            raise OptionError(f"-clamp: invalid value {each!r}: expected LAYER:UNIT=VALUE, as in 2:131=0.9") from None
        if not (1 <= pair[0] <= layers and 0 <= pair[1] < size):
            raise OptionError(
                f"-clamp: no unit {name.strip()} in this network: layers are numbered from 1 to {layers}, units from 0 "
                f"to {size - 1}"
            )
        if not -1 <= number <= 1:
            raise OptionError(f"-clamp: {each} is out of range: outputs are between -1 and 1")
        found[pair] = number
    return found
