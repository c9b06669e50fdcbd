"""Torch7's random numbers (torch7/lib/TH/THRandom.c): one MT19937 stream, one 32-bit word a number."""

import math
import operator

import numpy as np


class Generator:
    """The stream after `torch.manualSeed(seed)`. Seeds count modulo 2**32, as in the original."""

    def __init__(self, seed: int) -> None:
        # RandomState seeds as Torch7 does; the bare bit generator is many times quicker for single words.
        self._words = np.random.MT19937(0)  # a number, since without one the system is asked for some
        np.random.RandomState(self._words).seed(operator.index(seed) & 0xFFFFFFFF)

    @property
    def state(self) -> dict[str, list[int] | int]:
        """Where the stream is, in plain numbers; setting it goes on from there."""
        state = self._words.state["state"]
        return {"key": state["key"].tolist(), "pos": state["pos"]}

    @state.setter
    def state(self, state: dict[str, list[int] | int]) -> None:
        key = np.array(state["key"], np.uint32)
        self._words.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": state["pos"]}}

    def words(self, size: int | tuple[int, ...]) -> np.ndarray:
        """The next 32-bit words of the stream, row-major, as uint64."""
        return self._words.random_raw(math.prod(size) if isinstance(size, tuple) else size).reshape(size)

    def fraction(self) -> float:
        """One number in [0, 1)."""
        return self._words.random_raw() * 2.0**-32

    def uniform(self, low: float, high: float, size: int | tuple[int, ...]) -> np.ndarray:
        """Numbers in [low, high), float64: one word each, as a fraction of 2**32."""
        return self.words(size) * 2.0**-32 * (high - low) + low

    def bernoulli(self, probability: float, size: int | tuple[int, ...]) -> np.ndarray:
        """True with the given probability, bool. Torch7 tests `uniform <= p`; on whole words that is exact."""
        return self.words(size) <= int(probability * 2**32)

    def multinomial(self, probabilities: np.ndarray) -> int:
        """One index, drawn with `probabilities` `[n]` float32 or float64 (they need not add up to 1).

        From torch7/lib/TH/generic/THTensorRandom.c: the running sum is taken in double, from the left.
        """
        cumulative = probabilities.cumsum(dtype=np.float64)
        cumulative /= cumulative[-1]  # the last is then exactly 1, and every draw below it
        return int(cumulative.searchsorted(self.fraction()))
