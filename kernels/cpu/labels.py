"""Integer labels: how many are predicted right, and as one-hot rows."""

from __future__ import annotations

import math

from softgrad.kernels.cpu.horizontal import horizontal_sum
from softgrad.kernels.cpu.launch import over_range, sum_over_blocks
from softgrad.kernels.cpu.memory import lanes_of, load, load_first, load_until, number_at, set_number, store, zeros
from softgrad.kernels.cpu.narrow import label_logits
from softgrad.kernels.cpu.tiles import TILE, load_labels, load_tile
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, where
from softgrad.kernels.simd.half import number_dtype
from softgrad.kernels.simd.vector import count_true


@jitable
def _tile_correct(logits, labels, start, rows, tile):
    """In how many rows of a tile the label's logit is the first of the largest."""
    classes = logits.shape[1]
    zero = zeros(logits)
    load_tile(logits, start * classes, classes, rows, tile)
    label = load_labels(labels, start, rows, classes, zero)
    label_logit = label_logits(tile, classes, label)
    correct = label == label
    for j in range(classes):
        x = load(tile, j * TILE)
        correct = correct & where(const(zero, j) < label, x < label_logit, x <= label_logit)
    store(tile, 0, where(correct, const(zero, 1.0), zero))
    return horizontal_sum(load_first(tile, 0, rows, zero))


@jitable
def _row_correct(x, first, label, end):
    """Is x[label] above all of the row before it, and not below any after it? Left as soon as it is not."""
    lanes = lanes_of(x)
    lowest = const(zeros(x), -math.inf)
    label_logit = const(lowest, number_at(x, label))
    i = first
    while i < label and count_true(load_until(x, i, label, lowest) < label_logit) == lanes:
        i += lanes
    if i < label:
        return False
    i = label
    while i < end and count_true(load_until(x, i, end, lowest) <= label_logit) == lanes:
        i += lanes
    return i >= end


def _correct_rows(start, stop, scratch, logits, labels):
    classes = logits.shape[1]
    correct = 0.0
    if classes <= TILE:
        for r in range(start, stop, TILE):
            correct += _tile_correct(logits, labels, r, min(TILE, stop - r), scratch[1])
        return correct
    flat = logits.reshape(-1)
    for r in range(start, stop):
        if 0 <= labels[r] < classes:
            correct += _row_correct(flat, r * classes, r * classes + labels[r], (r + 1) * classes)
    return correct


_correct = sum_over_blocks(_correct_rows)


def count_correct(logits, labels):
    return int(_correct(logits.shape[0], logits.nbytes, logits, labels))


def _one_hot_rows(start, stop, labels, zero, one, out):
    classes = out.shape[1]
    for r in range(start, stop):
        for j in range(classes):
            set_number(out, r * classes + j, zero)
        set_number(out, r * classes + labels[r], one)


_one_hot = over_range(_one_hot_rows)


def one_hot_forward(labels, out):
    number = number_dtype(out.dtype).type
    _one_hot(out.shape[0], out.nbytes, labels, number(0), number(1), out)
