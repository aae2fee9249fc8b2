"""Fuzz one target: ``python -m faults.fuzz.run TARGET [libFuzzer's options]``.

What makes new parts of the code run is added to the first folder that is given;
an input that is a finding is written to the working folder.
"""

import sys

import atheris

with atheris.instrument_imports(include=["storify"]):
    from faults.fuzz.targets import TARGETS


def main() -> None:
    """Run until a finding, or as long as the options say."""
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
