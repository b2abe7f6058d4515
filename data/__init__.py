"""The ground floor: what things are, and where examples come from. Never imports torch."""
