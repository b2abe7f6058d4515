"""Review of names in the browser: a plate of pictures per fish, the doubtful ones first, one key to settle."""
