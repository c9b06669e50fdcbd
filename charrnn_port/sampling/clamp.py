"""Units whose outputs are held, as -clamp names them."""

from charrnn_port.checkpoints import Checkpoint
from charrnn_port.option_fields import OptionError, lua_number


def clamps_of(text: str, checkpoint: Checkpoint) -> dict[tuple[int, int], float]:
    """Layers (from 1) and units (from 0) with the values of `2:131=0.9,1:5=0`.

    Raises OptionError for what is none of these, a unit that the network has not, and a value beyond -1 and 1.
    """
    found: dict[tuple[int, int], float] = {}
    layers, size = checkpoint.opt["num_layers"], checkpoint.opt["rnn_size"]
    for each in filter(None, text.split(",")):
        name, _, value = each.partition("=")
        layer, _, unit = name.partition(":")
        try:
            pair, number = (int(layer), int(unit)), float(lua_number(value))
        except ValueError:
            raise OptionError(f"-clamp: {each!r} is no layer, unit and value, as in 2:131=0.9") from None
        if not (1 <= pair[0] <= layers and 0 <= pair[1] < size):
            raise OptionError(
                f"-clamp: there is no unit {name.strip()}: layers count from 1 to {layers}, units from 0 to {size - 1}"
            )
        if not -1 <= number <= 1:
            raise OptionError(f"-clamp: {each}: an output is between -1 and 1")
        found[pair] = number
    return found
