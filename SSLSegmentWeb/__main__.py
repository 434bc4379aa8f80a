"""``python -m SSLSegmentWeb`` is ``sslsegment-web``."""

import sys

from SSLSegmentWeb.cli import main

if __name__ == "__main__":
    sys.exit(main())
