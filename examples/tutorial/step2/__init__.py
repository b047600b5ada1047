"""Step 2 of the tutorial: a second step, and what undoes the first one."""
