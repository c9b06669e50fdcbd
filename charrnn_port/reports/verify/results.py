"""Results of checks, which the table, -json and the tests use."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Check:
    """A result. `part` and `name` are its section and row in the table; `what` was compared."""

    part: str
    name: str
    what: str

    @property
    def holds(self) -> bool:
        """Whether the promise holds."""
        raise NotImplementedError

    @property
    def outcome(self) -> str:
        """A description of the failure."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self.part}, {self.name}, {self.what}: {self.outcome}"

    def values(self) -> dict[str, Any]:
        """Return all fields for JSON."""
        return {"kind": type(self).__name__.lower(), **asdict(self), "holds": self.holds}


@dataclass(frozen=True)
class Lines(Check):
    """The printed lines of a run. Counts are of iteration lines; differences are of losses, in nats per character.

    If the lines are `exact`, the first `certain` ones must have the same digits; these are all lines where bits are
    promised. Other lines may differ by at most `early_limit` in the first EARLY lines, and by `late_limit` after them.
    """

    equal: int  # number of equal lines at the beginning
    certain: int
    total: int
    other: str  # the first line that differs, as recorded and as printed here; "" if all are equal
    same_shape: bool  # whether all is equal except for the digits of decimal fractions
    exact: bool
    early: float
    late: float
    early_limit: float
    late_limit: float

    @property
    def holds(self) -> bool:
        """Whether the lines are the same, as far as promised, and the other differences are within their limits."""
        if not self.other:
            return True
        if self.exact and (self.equal < self.certain or self.certain == self.total):
            return False
        return self.same_shape and self.early <= self.early_limit and self.late <= self.late_limit

    @property
    def outcome(self) -> str:
        """The counts, the differences, and the first line that differs."""
        return (
            f"{self.equal} of {self.total} lines are the same, {self.certain} are certain; losses differ by "
            f"{self.early:.1e}, later by {self.late:.1e}\n{self.other}"
        )


@dataclass(frozen=True)
class Difference(Check):
    """The largest difference between numbers, and its promised limit."""

    largest: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the difference is at most the limit; False for NaN."""
        return self.largest <= self.limit

    @property
    def outcome(self) -> str:
        """The difference and its limit."""
        return f"expected at most {self.limit:.0e}, got {self.largest:.1e}"


@dataclass(frozen=True)
class Same(Check):
    """Bytes or numbers that must be the same: their count, and the first that differs."""

    total: int
    first_other: int | None  # counted from 1

    @property
    def holds(self) -> bool:
        """Whether all are the same, and their count too."""
        return self.first_other is None

    @property
    def outcome(self) -> str:
        """The first that differs."""
        return f"number {self.first_other} of {self.total} is the first that differs"


@dataclass(frozen=True)
class Bits(Check):
    """Numbers of a run that must be the same in all bits, and the first iteration that differs."""

    iterations: int
    numbers: int
    fingerprints: int  # of all parameters after some iterations
    first_other: int | None  # an iteration; 0 is before the first
    other: str  # the numbers of that iteration that differ, and by how much

    @property
    def holds(self) -> bool:
        """Whether all numbers are the same."""
        return self.first_other is None

    @property
    def outcome(self) -> str:
        """The first iteration that differs."""
        return f"iteration {self.first_other} is the first that differs: {self.other}"


@dataclass(frozen=True)
class Failed(Check):
    """A check that failed with an error."""

    error: str

    @property
    def holds(self) -> bool:
        """Always False."""
        return False

    @property
    def outcome(self) -> str:
        """The error message."""
        return self.error


def same(part: str, name: str, what: str, ours: bytes | np.ndarray, recorded: bytes | np.ndarray) -> Same:
    """Compare bytes, or numbers of one type bit for bit."""
    if isinstance(ours, bytes):
        ours, recorded = np.frombuffer(ours, np.uint8), np.frombuffer(recorded, np.uint8)
    if ours.dtype == recorded.dtype and ours.dtype.kind == "f":  # NaN is the same as itself, and 0 is not -0
        ours, recorded = (each.view(f"u{each.itemsize}") for each in (ours, recorded))
    common = min(len(ours), len(recorded))
    (others,) = np.nonzero(ours[:common] != recorded[:common])
    if len(others):
        return Same(part, name, what, len(recorded), int(others[0]) + 1)
    return Same(part, name, what, len(recorded), None if len(ours) == len(recorded) else common + 1)
