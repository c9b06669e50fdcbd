"""Torch7's random numbers (torch7/lib/TH/THRandom.c): one MT19937 stream, one 32-bit word a number."""

import numpy as np


class Generator:
    """The stream after `torch.manualSeed(seed)`. Seeds count modulo 2**32, as in the original."""

    def __init__(self, seed: int) -> None:
        self._stream = np.random.RandomState(seed & 0xFFFFFFFF)

    def words(self, size: int | tuple[int, ...]) -> np.ndarray:
        """The next 32-bit words of the stream, uint32, row-major."""
        return self._stream.randint(0, 2**32, size=size, dtype=np.uint32)

    def uniform(self, low: float, high: float, size: int | tuple[int, ...]) -> np.ndarray:
        """Numbers in [low, high), float64."""
        return self.words(size) * 2.0**-32 * (high - low) + low

    def bernoulli(self, probability: float, size: int | tuple[int, ...]) -> np.ndarray:
        """True with the given probability, bool. Torch7 tests `uniform <= p`; on whole words that is exact."""
        return self.words(size) <= int(probability * 2**32)

    def multinomial(self, probabilities: np.ndarray) -> int:
        """One index, drawn with `probabilities` `[n]` float32 (they need not add up to 1).

        From torch7/lib/TH/generic/THTensorRandom.c: the running sum is taken in double, from the left.
        """
        cumulative = np.cumsum(probabilities, dtype=np.float64)
        cumulative /= cumulative[-1]
        cumulative[-1] = 1.0
        return int(np.searchsorted(cumulative, self.uniform(0.0, 1.0, 1)[0]))
