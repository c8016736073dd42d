"""Looking into a network through its gradients."""

from flowgrad.inspection.explain import explain
from flowgrad.inspection.importance import Importance, node_importance
from flowgrad.inspection.paths import Path, PathAttribution, path_attribution
from flowgrad.inspection.reuse import ReuseReport, reuse_report

__all__ = [
    "Importance",
    "Path",
    "PathAttribution",
    "ReuseReport",
    "explain",
    "node_importance",
    "path_attribution",
    "reuse_report",
]
