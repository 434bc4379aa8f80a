"""Few-slice segmentation with self-supervised backbones: the training core of SSLSegment.

Nothing heavy is imported here: ``sslseg.volume`` and ``sslseg.annotation`` work without torch, so that a viewer
process can use them while the worker process owns the network.
"""

__version__ = "0.1.0"
