"""Step 8 of the tutorial: a step in another service."""
