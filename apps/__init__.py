"""What people run: the command line and its applications. Never imports torch."""
