r"""Escapes in options whose value is a text: \n, \t, \r, \\ and \x41."""

import re

from charrnn_port.util.errors import UserError

ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\\": b"\\"}
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.|$)", re.DOTALL)


def unescape(text: str, option: str) -> bytes:
    r"""Return the bytes of a typed text in which \n, \t, \r, \\ and \x41 are escapes. Raises UserError for others."""

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1][:1] == b"x" and len(match[1]) == 3:
            return bytes.fromhex(match[1][1:].decode())
        if match[1] not in ESCAPES:
            raise UserError(f"{option}: unknown escape {match[0].decode()!r}: known are \\n, \\t, \\r, \\\\ and \\x41")
        return ESCAPES[match[1]]

    return ESCAPE.sub(byte, text.encode(errors="surrogateescape"))
