"""What Torch7 gave the original, to the last bit. Nothing here imports the rest of the project.

For use elsewhere:

- `random.Generator`: the stream of random numbers after torch.manualSeed, and what draws from it;
- `strfmt.lua_format`: numbers in text, rounded as Lua's string.format does it;
- `t7.load`, `t7.save`, `t7.T7Error`: Torch7's files, and `t7.Table`, `TorchObject`, `Storage`, `Function` in them;
- `nngraph.g_module`, `apply`, `node`, `split`, `record`, `empty`: the object graph of a network, for such a file.
"""

__all__ = ["nngraph", "random", "strfmt", "t7"]
