"""Commands: messages on streams of users that start, signal or cancel sagas."""
