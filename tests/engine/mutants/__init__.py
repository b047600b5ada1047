"""Bugs planted in the engine by hand, each with the pattern of the verdict that must condemn it."""
