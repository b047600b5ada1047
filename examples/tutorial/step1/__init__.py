"""Step 1 of the tutorial: one step."""
