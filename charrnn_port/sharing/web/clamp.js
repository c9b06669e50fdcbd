// Units whose outputs are held at a value (ablation and intervention), as in charrnn_port/sampling/clamp.py.

/**
 * Parses a text such as "2:131=0.9,1:5=0" to [layer from 0, unit, value] for each unit.
 *
 * Throws RangeError for invalid syntax, a unit that the network does not have, and a value outside [-1, 1].
 */
export function clampsOf(text, layers, size) {
  return text.split(",").filter(Boolean).map((each) => {
    const [, layer, unit, value] = /^\s*(\d+)\s*:\s*(\d+)\s*=\s*(\S+)\s*$/.exec(each) || [];
    if (!(Math.abs(Number(value)) <= 1)) {
      throw new RangeError(`invalid clamp ${each}: expected LAYER:UNIT=VALUE with a value from -1 to 1, as in 2:131=0.9`);
    }
    if (layer < 1 || layer > layers || unit >= size) {
      throw new RangeError(`no unit ${layer}:${unit} in this network: layers are 1 to ${layers}, units 0 to ${size - 1}`);
    }
    return [layer - 1, Number(unit), Number(value)];
  });
}
