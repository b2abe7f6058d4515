"""The tasks that the shared loop learns."""
