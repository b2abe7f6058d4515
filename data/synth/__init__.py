"""Made-up examples with known truth: handwriting, filled pages, and what cameras and pens do to them."""
