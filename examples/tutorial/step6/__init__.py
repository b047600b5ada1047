"""Step 6 of the tutorial: one step for each item of a list."""
