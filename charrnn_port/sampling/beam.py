"""Beam search: the likeliest text of a length, as far as it is found by going on with the likeliest beginnings only."""

import numpy as np

from charrnn_port.sampling.session import Session


def likeliest_text(session: Session, length: int, beam: int) -> list[int]:
    """The ids of the likeliest text of `length` to come next; the session itself stays where it is.

    Of all texts one character longer than those of the step before, the `beam` likeliest are kept. With a beam of 1
    that is the likeliest character each time; with one as wide as there are texts it is exact. Of equally likely texts
    the one comes first that did so a character before, then the one with the smaller id.
    """
    found = [(0.0, session, None)]  # log-probability in nats, the session after it, and the text: (text before, id)
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
