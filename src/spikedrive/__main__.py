"""`python -m spikedrive` is the command `spikedrive`."""

import sys

from spikedrive.cli import main

# torch's data workers import the main module again; they must not start the command
if __name__ == "__main__":
    sys.exit(main())
