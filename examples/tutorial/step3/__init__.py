"""Step 3 of the tutorial: types, and refusals."""
