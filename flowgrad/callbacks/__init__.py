"""Callbacks of a training: where its values are logged, a file each, named as the user names it."""
