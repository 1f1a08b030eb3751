"""Build the sdist and the wheel, the same bytes from the same commit.

python scripts/build_packages.py FOLDER
"""

import gzip
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).parents[1]


def main() -> None:
    """Build what is committed into the folder that is named."""
    folder = pathlib.Path(sys.argv[1]).resolve()
    epoch = int(_git("log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory() as made:
        archive = _git("archive", "HEAD")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(made, filter="data")
        subprocess.run(
            [sys.executable, "-m", "build", "--outdir", str(folder), made],
            env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    for path in folder.glob("*.tar.gz"):
        path.write_bytes(_normalized(path, epoch))


def _git(*arguments: str) -> bytes:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout


def _normalized(path: pathlib.Path, epoch: int) -> bytes:
    """Return an sdist in the order of names, with one time and no owner."""
    packed = io.BytesIO()
    with (
        tarfile.open(path) as old,
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as new,
    ):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid = epoch, 0, 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member))
    return packed.getvalue()


if __name__ == "__main__":
    main()
