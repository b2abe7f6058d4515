"""What a survey may do beside finding fish: name them, outline them, count schools by points.

Each part looks at the frames while they are there, in the process that detects, and keeps a block of bytes a segment in
the ledger, under a key of its own: a part that is asked for later takes the detections from the ledger. A part that
fails is left out, and said so; the survey goes on.
"""
