"""Write the shop's files as a version of its schema does: once, and never again.

``python tests/evolution/files/write.py 1 2 3 4``, from the repository. What the files
hold is what a program of then left on disk, so one that is there is not written anew.
"""

import importlib
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1])]


def write(version: str) -> None:
    """Write ``v{version}/shop.mpack``."""
    from storify import Storify  # noqa: PLC0415 - it is found by the path above

    schema = importlib.import_module(f"evolution.versions.v{version}")
    target = HERE / f"v{version}" / "shop.mpack"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with Storify(folder, models=schema.MODELS) as sf:
            sf.get_db("shop").update(schema.records())
        with target.open("xb") as file:
            file.write((Path(folder) / "shop.mpack").read_bytes())


if __name__ == "__main__":
    for each in sys.argv[1:]:
        write(each)
