"""Step 5 of the tutorial: a signal and a timer."""
