"""``python -m storify`` is the command ``storify``."""

from storify.cli import main

if __name__ == "__main__":
    main()
