"""``sslsegment-web`` with stand-in sessions: ``python stand_in_gate.py WORD OPTIONS…``, where WORD goes to them."""

import functools
import sys
from pathlib import Path

from SSLSegmentWeb import session_process
from SSLSegmentWeb.cli import main

if __name__ == "__main__":
    stand_in = [sys.executable, str(Path(__file__).with_name("stand_in_session.py")), sys.argv[1]]
    session_process.Recipe = functools.partial(session_process.Recipe, command=stand_in)
    sys.exit(main(sys.argv[2:]))
