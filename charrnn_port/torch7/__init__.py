"""Reimplements the parts of Torch7 that the original needs, bit for bit. Imports nothing from the rest of the project.

Public names:

- `random.Generator`: the random number stream after torch.manualSeed, and sampling from it;
- `strfmt.lua_format`: formats numbers with the rounding of Lua's string.format;
- `t7.load`, `t7.save`, `t7.T7Error`: Torch7 files, with `t7.Table`, `TorchObject`, `Storage`, `Function`;
- `nngraph.g_module`, `apply`, `node`, `split`, `record`, `empty`: the object graph of a network, for such a file.
"""

__all__ = ["nngraph", "random", "strfmt", "t7"]
