"""The digit application: forms on paper in, a checked table out."""
