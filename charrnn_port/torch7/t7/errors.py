"""Defines the error for a file that cannot be read."""


class T7Error(ValueError):
    """The file is corrupt or not a Torch7 file. The message is one line with the offset where reading stopped."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset
