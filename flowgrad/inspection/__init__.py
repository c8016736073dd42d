"""Looking into a network through its gradients."""

from flowgrad.inspection.importance import Importance, node_importance
from flowgrad.inspection.reuse import ReuseReport, reuse_report

__all__ = ["Importance", "ReuseReport", "node_importance", "reuse_report"]
