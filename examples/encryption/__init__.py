"""Orders whose values are encrypted: keys from the environment, and a rotation of the key."""
