"""Curation: look at data and predictions in FiftyOne, put labels right, make dataset folders for the next training."""
