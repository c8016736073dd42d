from flowgrad.testing.oracle import *  # noqa: F403  (goes when nobody imports it any more)
