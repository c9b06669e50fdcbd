"""What came of a check. The table and -json are made of these, and the tests assert on them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Check:
    """`part` and `name` are its section and row in the table, `what` was compared. Subclasses add the outcome."""

    part: str
    name: str
    what: str

    @property
    def holds(self) -> bool:
        """Whether what is promised is so."""
        raise NotImplementedError

    @property
    def outcome(self) -> str:
        """What is wrong, in words, where it does not hold."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self.part}, {self.name}, {self.what}: {self.outcome}"

    def values(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"kind": type(self).__name__.lower(), **asdict(self), "holds": self.holds}


@dataclass(frozen=True)
class Lines(Check):
    """What a run prints, line by line; counted are those of iterations.

    Differences are of losses, in nats per character. Digit for digit is promised of the lines that are `certain`: all
    where bits are promised. If they are not `exact`, and for those after them, it is promised that differences are
    small: at most `early_limit` in the first EARLY lines, `late_limit` after them.
    """

    equal: int  # from the first on, with all that stands between them
    certain: int
    total: int
    other: str  # the first line that is another one, as it is recorded and as it is here; "" where there is none
    same_shape: bool  # but for the digits of numbers that are no whole ones
    exact: bool
    early: float
    late: float
    early_limit: float
    late_limit: float

    @property
    def holds(self) -> bool:
        """All that was printed, or what rounding leaves certain of it, or as near as it can be."""
        if not self.other:
            return True
        if self.exact and (self.equal < self.certain or self.certain == self.total):
            return False
        return self.same_shape and self.early <= self.early_limit and self.late <= self.late_limit

    @property
    def outcome(self) -> str:
        """Figures, and the first other line as it is recorded and as it is here."""
        return (
            f"{self.equal} of {self.total} lines are the same, {self.certain} are certain; losses are off by "
            f"{self.early:.1e}, later by {self.late:.1e}\n{self.other}"
        )


@dataclass(frozen=True)
class Difference(Check):
    """The largest difference between numbers, and what is promised of it."""

    largest: float
    limit: float

    @property
    def holds(self) -> bool:
        """At most the limit; nan is not."""
        return self.largest <= self.limit

    @property
    def outcome(self) -> str:
        """The difference and its limit."""
        return f"{self.largest:.1e} where at most {self.limit:.0e} is promised"


@dataclass(frozen=True)
class Same(Check):
    """Bytes or numbers that are to be the same: how many there are, and the first that is another one."""

    total: int
    first_other: int | None  # counted from 1

    @property
    def holds(self) -> bool:
        """No other one, and as many."""
        return self.first_other is None

    @property
    def outcome(self) -> str:
        """The first other one."""
        return f"number {self.first_other} of {self.total} is another one"


@dataclass(frozen=True)
class Bits(Check):
    """Numbers of a run that are to be the same in all bits, and where the first is that is another one."""

    iterations: int
    numbers: int
    fingerprints: int  # of all parameters after some iterations
    first_other: int | None  # an iteration; 0 is before the first
    other: str  # the numbers of that iteration that are other ones, and how far they are off

    @property
    def holds(self) -> bool:
        """No other one."""
        return self.first_other is None

    @property
    def outcome(self) -> str:
        """The first other iteration."""
        return f"iteration {self.first_other} is the first that differs: {self.other}"


@dataclass(frozen=True)
class Failed(Check):
    """What could not be compared, because of an error."""

    error: str

    @property
    def holds(self) -> bool:
        """It does not."""
        return False

    @property
    def outcome(self) -> str:
        """The error."""
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
