"""`portico` with other lease times: `python -m tests.support.short_leases LEASE RENEW serve ...`.

Imports nothing of the tests, so that it starts as fast as `portico`.
"""

import sys

from portico.cli.main import main
from portico.gateway import runs

if __name__ == "__main__":
    runs.LEASE_SECONDS, runs.RENEW_SECONDS = float(sys.argv[1]), float(sys.argv[2])
    sys.argv = ["portico", *sys.argv[3:]]
    main()
