"""Displays of networks and gradients in notebooks and figures; `Network` and `Gradients` find them in the registry."""
