"""Step 4 of the tutorial: retries, doubt and keys."""
