"""``python -m a2a``: the command line where the script `a2a` cannot be named, such as ``torchrun -m a2a train ...``."""

from a2a.cli import main

if __name__ == "__main__":
    main()
