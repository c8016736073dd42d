"""The page: a network and its values in one HTML file, and the server that shows it."""

from flowgrad.viewer.page import page

__all__ = ["page"]
