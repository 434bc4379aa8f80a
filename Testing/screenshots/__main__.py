"""``python Testing/screenshots FOLDER``: pictures of the panel and of what it makes, see ``panel_session.py``."""

import importlib
import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path[:0] = [str(TESTING), str(TESTING / "widget")]
    importlib.import_module("panel_session").main(Path(sys.argv[1]))
