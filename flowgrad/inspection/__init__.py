"""Analyses of networks by their gradients: importance, its stability, paths, health, traces and reuse counts."""

from flowgrad.inspection.explain import explain
from flowgrad.inspection.facts import network_facts
from flowgrad.inspection.health import Health, health
from flowgrad.inspection.importance import Importance, node_importance
from flowgrad.inspection.paths import Path, PathAttribution, path_attribution
from flowgrad.inspection.reuse import ReuseReport, reuse_report
from flowgrad.inspection.stability import Stability
from flowgrad.inspection.study import importance_stability
from flowgrad.inspection.trace import replay, trace, write_trace

__all__ = [
    "Health",
    "Importance",
    "Path",
    "PathAttribution",
    "ReuseReport",
    "Stability",
    "explain",
    "health",
    "importance_stability",
    "network_facts",
    "node_importance",
    "path_attribution",
    "replay",
    "reuse_report",
    "trace",
    "write_trace",
]
