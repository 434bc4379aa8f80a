"""Free tools that complete a volume from a few annotated slices, as methods of ``sslseg benchmark within-volume``.

Each is the tool's own implementation, given what its user would give it. A method takes a case and returns uint8 class
indices of all voxels; the core finds it by its entry point.
"""
