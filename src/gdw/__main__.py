"""`python -m gdw` (and so `torchrun ... -m gdw train ...`) is the command `gdw`."""

from gdw.cli import main

if __name__ == "__main__":
    main()
