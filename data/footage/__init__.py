"""Video files: their frames as they are stored, damaged or not, with the numbers and times of a whole reading."""
