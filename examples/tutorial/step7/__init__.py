"""Step 7 of the tutorial: processes of their own, and `kill -9`."""
