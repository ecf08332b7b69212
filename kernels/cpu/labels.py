"""Integer labels: are they in range, how many are predicted right, and as one-hot rows."""

from __future__ import annotations

from softgrad.kernels.cpu.launch import over_range, serial, sum_over_blocks


@serial
def first_outside(indices, bound):
    """The position of the first index that does not lie in [0, bound), or -1."""
    for r in range(indices.size):
        if not 0 <= indices[r] < bound:
            return r
    return -1


def _correct_rows(start, stop, scratch, logits, labels):
    correct = 0
    for r in range(start, stop):
        x = logits[r]
        best = 0
        for j in range(1, x.size):
            if x[j] > x[best] or (x[j] != x[j] and x[best] == x[best]):
                best = j
        if best == labels[r] and x[best] == x[best]:
            correct += 1
    return float(correct)


_correct = sum_over_blocks(_correct_rows)


def count_correct(logits, labels):
    """How many rows have their largest logit, the first of equals, at their label; a row with NaN does not."""
    return int(_correct(logits.shape[0], logits.size, logits, labels))


def _one_hot_rows(start, stop, labels, out):
    for r in range(start, stop):
        for j in range(out.shape[1]):
            out[r, j] = 0
        out[r, labels[r]] = 1


_one_hot = over_range(_one_hot_rows)


def one_hot_forward(labels, out):
    """out[r, j] = 1 where j is the row's label, else 0; the labels must have been checked."""
    _one_hot(out.shape[0], out.size, labels, out)
