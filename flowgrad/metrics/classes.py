"""Metrics of classification, by scikit-learn's definitions: of decisions, of the ranking, and of probabilities.

Several outputs stand for exclusive classes, and the decision is the class of the largest output. Under
binary_cross_entropy each output stands for a class of its own (multi-label). A single output stands for the second of
two classes. In the last two cases the decision is whether the prediction is > ½, and a target is positive if it is > ½.
"""

from __future__ import annotations

import math

import numpy as np

from flowgrad.metrics.metric import Array, Judged, mean, measure

LEAST = float(np.finfo(np.float64).eps)
"""The log loss clips probabilities to LEAST … 1 − LEAST, the float64 epsilon, as scikit-learn does."""


@measure(0, 1)
def accuracy(seen: Judged) -> float:
    """Proportion of correct decisions, 0 … 1; multi-label: over all samples and outputs (1 − Hamming loss).

    The decision is the class of the largest prediction; for a single output or multi-label, whether p > ½.
    """
    right = (seen.predicted == seen.true).reshape(len(seen.w), -1).mean(axis=1)
    return float(mean(right, seen.w))


def confusions(seen: Judged) -> Array:
    """Return weighted confusion matrices (M, K, K), true by predicted class: M = 1, or one per output with K = 2."""
    if seen.classes:
        K = seen.p.shape[1]
        cell = seen.true * K + seen.predicted
        return np.bincount(cell, seen.w, K * K).reshape(1, K, K)
    O = seen.p.shape[1]
    cell = np.arange(O) * 4 + seen.true * 2 + seen.predicted
    return np.bincount(cell.ravel(), np.repeat(seen.w, O), 4 * O).reshape(O, 2, 2)


@measure(0, 1)
def f1(seen: Judged) -> float:
    """F1 score 2 TP / (2 TP + FP + FN) of decisions, 0 … 1; 0 if there are neither true nor predicted positives.

    For several outputs it is the mean over the outputs ("macro"); for exclusive classes, over those classes that
    are true or predicted for some sample.
    """
    tables = confusions(seen)
    hits = np.diagonal(tables, axis1=1, axis2=2)
    either = tables.sum(axis=1) + tables.sum(axis=2)
    score = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
    return float(score[either > 0].mean() if seen.classes else score[:, 1].mean())


@measure(0, 1)
def balanced_accuracy(seen: Judged) -> float:
    """Recall averaged over the classes that occur in the targets, 0 … 1; multi-label: the mean of this over outputs."""
    tables = confusions(seen)
    there = tables.sum(axis=2)
    hits = np.diagonal(tables, axis1=1, axis2=2)
    recall = np.divide(hits, there, out=np.zeros_like(hits), where=there > 0)
    return float((recall.sum(axis=1) / (there > 0).sum(axis=1)).mean())


@measure(-1, 1)
def mcc(seen: Judged) -> float:
    """Matthews correlation coefficient of decisions and true classes, −1 … 1; Gorodkin's (2004) for several classes.

    It is 0 if decisions or true classes are constant. Multi-label: the mean over the outputs.
    """
    tables = confusions(seen)
    true, said, n = tables.sum(axis=2), tables.sum(axis=1), tables.sum(axis=(1, 2))
    both = np.trace(tables, axis1=1, axis2=2) * n - (true * said).sum(axis=1)
    vary = (n * n - (true * true).sum(axis=1)) * (n * n - (said * said).sum(axis=1))
    return float(np.divide(both, np.sqrt(vary), out=np.zeros_like(both), where=vary > 0).mean())


@measure(0, 1)
def auc(seen: Judged) -> float:
    """Area under the ROC curve, 0 … 1: probability that a sample with t > ½ has a larger prediction than another.

    It is computed by the ranks (Mann & Whitney 1947), with ties counted as ½. For several outputs it is the mean over
    the outputs ("macro"; exclusive classes are compared one against the rest). Outputs without both positive and
    negative samples are not counted; the AUC is NaN if no output has both.
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
    """Average precision Σ_k (R_k − R_{k−1}) P_k, 0 … 1, with precision P and recall R at threshold k.

    The precision-recall curve is not interpolated. For several outputs it is the mean over the outputs ("macro"), with
    0 for an output without positives.
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
    """Mean of −log of the predicted probability of the true class, ≥ 0; NaN if a prediction is outside 0 … 1.

    Probabilities are clipped to 2.2e-16 … 1 − 2.2e-16. Multi-label: the mean over the outputs.
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
    """Brier score: mean of (p − t)², 0 … 1, or 0 … 2 for three or more classes; NaN if a prediction is outside 0 … 1.

    For three or more exclusive classes (p − t)² is summed over the classes; for two classes and multi-label it is
    averaged over the outputs.
    """
    if not _are_probabilities(seen.p):
        return float("nan")
    square = (seen.p - seen.t) ** 2
    summed = seen.classes and seen.p.shape[1] > 2
    return float(mean(square.sum(axis=1) if summed else square.mean(axis=1), seen.w))


def _are_probabilities(p: Array) -> bool:
    return bool(p.min() >= 0 and p.max() <= 1)


def _times(share: Array, log: Array) -> Array:
    """Return share · log, and 0 where the share is 0, even if log is −inf."""
    return np.where(share == 0, 0.0, share * log)
