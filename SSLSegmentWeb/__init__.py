"""SSLSegment in a browser: one gate that users reach, and behind it a session process for each browser."""
