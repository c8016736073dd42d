"""The viewer: a network and its values in one HTML file, and the server for that page."""

from flowgrad.viewer.page import page

__all__ = ["page"]
