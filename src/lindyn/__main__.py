"""`python -m lindyn`: the command line."""

from lindyn.cli import main

if __name__ == "__main__":
    main()
