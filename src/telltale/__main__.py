"""`python -m telltale`: the same as the command `telltale`."""

from telltale.cli import main

if __name__ == "__main__":
    main()
