"""Metrics of classes, by scikit-learn's definitions: of decisions, of the order of scores, of probabilities.

Several outputs are exclusive classes (y (B, O), the largest output is the decision) or, under binary_cross_entropy,
each a class of its own (multi-label). A single output is of two classes, decided at ½.
"""

from __future__ import annotations

import math

import numpy as np

from flowgrad.metrics.metric import Array, Judged, mean, measure

LEAST = float(np.finfo(np.float64).eps)
"""The log loss clips probabilities to LEAST … 1 − LEAST, the float64 epsilon, as scikit-learn does."""


@measure(0, 1)
def accuracy(seen: Judged) -> float:
    """The share of right decisions, 0 … 1; multi-label: of all outputs and samples (1 − scikit-learn's Hamming loss).

    A decision is the largest prediction, or of an output by itself whether it is above ½.
    """
    right = (seen.predicted == seen.true).reshape(len(seen.w), -1).mean(axis=1)
    return float(mean(right, seen.w))


def confusions(seen: Judged) -> Array:
    """Return weighted confusion matrices (M, K, K), true by predicted class: one, or one an output (K = 2)."""
    if seen.classes:
        K = seen.p.shape[1]
        cell = seen.true * K + seen.predicted
        return np.bincount(cell, seen.w, K * K).reshape(1, K, K)
    O = seen.p.shape[1]
    cell = np.arange(O) * 4 + seen.true * 2 + seen.predicted
    return np.bincount(cell.ravel(), np.repeat(seen.w, O), 4 * O).reshape(O, 2, 2)


@measure(0, 1)
def f1(seen: Judged) -> float:
    """F1 = 2 TP / (2 TP + FP + FN) of decisions, 0 … 1; 0 where there is neither a positive nor a predicted one.

    Of one output that of the class it speaks for; else the mean over the outputs ("macro"), of exclusive classes over
    those that are true or predicted somewhere.
    """
    tables = confusions(seen)
    hits = np.diagonal(tables, axis1=1, axis2=2)
    either = tables.sum(axis=1) + tables.sum(axis=2)
    score = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
    return float(score[either > 0].mean() if seen.classes else score[:, 1].mean())


@measure(0, 1)
def balanced_accuracy(seen: Judged) -> float:
    """The mean over the true classes of the share of right decisions, 0 … 1; multi-label: the mean over the outputs."""
    tables = confusions(seen)
    there = tables.sum(axis=2)
    hits = np.diagonal(tables, axis1=1, axis2=2)
    recall = np.divide(hits, there, out=np.zeros_like(hits), where=there > 0)
    return float((recall.sum(axis=1) / (there > 0).sum(axis=1)).mean())


@measure(-1, 1)
def mcc(seen: Judged) -> float:
    """Matthews's correlation of decisions and classes, −1 … 1, of several classes Gorodkin's (2004).

    0 where one of them is constant; multi-label: the mean over the outputs.
    """
    tables = confusions(seen)
    true, said, n = tables.sum(axis=2), tables.sum(axis=1), tables.sum(axis=(1, 2))
    both = np.trace(tables, axis1=1, axis2=2) * n - (true * said).sum(axis=1)
    vary = (n * n - (true * true).sum(axis=1)) * (n * n - (said * said).sum(axis=1))
    return float(np.divide(both, np.sqrt(vary), out=np.zeros_like(both), where=vary > 0).mean())


@measure(0, 1)
def auc(seen: Judged) -> float:
    """Area under the ROC curve, 0 … 1: how often a sample with t > ½ has the larger prediction, ties half.

    By the ranks (Mann & Whitney 1947). The mean over the outputs ("macro", of exclusive classes one against the rest)
    that have both kinds of samples; NaN where none has.
    """
    areas = []
    for column, wanted in zip(seen.p.T, seen.t.T > 0.5, strict=True):
        _, place = np.unique(column, return_inverse=True)
        P, N = np.bincount(place, seen.w * wanted), np.bincount(place, seen.w * ~wanted)
        pairs = P.sum() * N.sum()
        if pairs:
            areas.append(P @ (np.cumsum(N) - 0.5 * N) / pairs)
    return float(np.mean(areas)) if areas else float("nan")


@measure(0, 1)
def average_precision(seen: Judged) -> float:
    """Σ (R_k − R_{k−1}) P_k over the thresholds k, precision P and recall R, 0 … 1; 0 of an output without positives.

    The mean over the outputs ("macro"); no interpolation.
    """
    scores = []
    for column, wanted in zip(seen.p.T, seen.t.T > 0.5, strict=True):
        _, place = np.unique(-column, return_inverse=True)
        P, every = np.bincount(place, seen.w * wanted), np.bincount(place, seen.w)
        hits = np.cumsum(P)
        scores.append(P @ (hits / np.cumsum(every)) / hits[-1] if hits[-1] else 0.0)
    return float(np.mean(scores))


@measure(0, math.inf)
def log_loss(seen: Judged) -> float:
    """−log of the probability of what holds, in the mean, 0 or more; NaN where predictions are no probabilities.

    Probabilities are taken between 2.2e-16 and 1 − 2.2e-16; multi-label: the mean over the outputs.
    """
    if not _are_probabilities(seen.p):
        return float("nan")
    p = np.clip(seen.p, LEAST, 1 - LEAST)
    cost = -_times(seen.t, np.log(p))
    if seen.classes:
        return float(mean(cost.sum(axis=1), seen.w))
    return float(mean((cost - _times(1 - seen.t, np.log1p(-p))).mean(axis=1), seen.w))


@measure(0, 2)
def brier(seen: Judged) -> float:
    """(p − t)² in the mean, 0 … 1; NaN where predictions are no probabilities.

    Of three exclusive classes or more it is summed over them, 0 … 2; of two it is that of one of them; multi-label: the
    mean over the outputs.
    """
    if not _are_probabilities(seen.p):
        return float("nan")
    square = (seen.p - seen.t) ** 2
    summed = seen.classes and seen.p.shape[1] > 2
    return float(mean(square.sum(axis=1) if summed else square.mean(axis=1), seen.w))


def _are_probabilities(p: Array) -> bool:
    return bool(p.min() >= 0 and p.max() <= 1)


def _times(share: Array, log: Array) -> Array:
    """Return share · log, 0 where the share is 0 and log may be −inf."""
    return np.where(share == 0, 0.0, share * log)
