"""Beam search: an approximation of the most likely text of a given length."""

import numpy as np

from charrnn_port.sampling.session import Session


def likeliest_text(session: Session, length: int, beam: int) -> list[int]:
    """Return the ids of the most likely continuation of `length` characters that beam search finds.

    After each character the `beam` most likely texts are kept. A beam of 1 is greedy decoding; a beam as wide as the
    number of texts is exact. Ties are ordered as one character before, then by id. The session is not changed.
    """
    found = [(0.0, session, None)]  # log-probability in nats, session, and the text as a linked list: (text before, id)
    for _ in range(length):
        log_probs = np.array([before + session.log_probs() for before, session, _ in found])
        if session.unknown is not None:
            log_probs[:, session.unknown] = -np.inf
        best = np.argsort(-log_probs, axis=None, kind="stable")[:beam]
        longer = []
        for row, id_ in zip(*np.unravel_index(best, log_probs.shape), strict=True):
            _, before, text = found[row]
            after = before.copy()
            after.feed([id_])
            longer.append((log_probs[row, id_], after, (text, int(id_))))
        found = longer
    ids, (_, _, text) = [], found[0]
    while text:
        text, id_ = text
        ids.append(id_)
    return ids[::-1]
