"""Curation: data and predictions looked at in FiftyOne, labels put right, dataset folders made for the next training."""
