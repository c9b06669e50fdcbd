"""Generates Torch7's random numbers (torch7/lib/TH/THRandom.c): an MT19937 stream, with one 32-bit word per number."""

import math
import operator

import numpy as np


class Generator:
    """The random number stream after `torch.manualSeed(seed)`. Seeds are taken modulo 2**32, as in the original."""

    def __init__(self, seed: int) -> None:
        # RandomState seeds as Torch7 does. The bit generator by itself is many times faster for single words.
        self._words = np.random.MT19937(0)  # without a seed it would read entropy from the system
        np.random.RandomState(self._words).seed(operator.index(seed) & 0xFFFFFFFF)

    @property
    def state(self) -> dict[str, list[int] | int]:
        """The state of the stream in plain numbers; setting it continues the stream from there."""
        state = self._words.state["state"]
        return {"key": state["key"].tolist(), "pos": state["pos"]}

    @state.setter
    def state(self, state: dict[str, list[int] | int]) -> None:
        key = np.array(state["key"], np.uint32)
        self._words.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": state["pos"]}}

    def words(self, size: int | tuple[int, ...]) -> np.ndarray:
        """Return the next 32-bit words of the stream, row-major, as uint64."""
        return self._words.random_raw(math.prod(size) if isinstance(size, tuple) else size).reshape(size)

    def fraction(self) -> float:
        """Return the next number in [0, 1)."""
        return self._words.random_raw() * 2.0**-32

    def uniform(self, low: float, high: float, size: int | tuple[int, ...]) -> np.ndarray:
        """Return float64 numbers in [low, high), one word each, as a fraction of 2**32."""
        return self.words(size) * 2.0**-32 * (high - low) + low

    def bernoulli(self, probability: float, size: int | tuple[int, ...]) -> np.ndarray:
        """Return bools, True with this probability. Torch7 tests `uniform <= p`, which is exact on whole words."""
        return self.words(size) <= int(probability * 2**32)

    def multinomial(self, probabilities: np.ndarray) -> int:
        """Sample an index from `probabilities` `[n]`, float32 or float64, which need not sum to 1.

        As in torch7/lib/TH/generic/THTensorRandom.c, the cumulative sum is computed in double, from the left.
        """
        cumulative = probabilities.cumsum(dtype=np.float64)
        cumulative /= cumulative[-1]  # the last element is then exactly 1, above every fraction
        return int(cumulative.searchsorted(self.fraction()))
