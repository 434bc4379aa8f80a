"""The Slicer side of SSLSegment: everything but ``widget`` works without Qt, and nothing here imports torch."""
