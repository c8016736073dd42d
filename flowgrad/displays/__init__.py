"""Displays in notebooks and figures. Network and Gradients, of a lower layer, find them by name in the registry."""
