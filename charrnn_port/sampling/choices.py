"""Aliases of `samplers` for programs written for version 0.2: `charrnn_port.choices`."""

from charrnn_port.sampling.samplers import Filter, filtered, min_p, top_k, top_p
from charrnn_port.sampling.samplers import Sampler as Choice
from charrnn_port.sampling.samplers import ban as never
from charrnn_port.sampling.samplers import categorical as drawn
from charrnn_port.sampling.samplers import greedy as likeliest

__all__ = ["Choice", "Filter", "drawn", "filtered", "likeliest", "min_p", "never", "top_k", "top_p"]
