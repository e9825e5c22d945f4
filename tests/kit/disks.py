"""File systems of a given size, and files that fill them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_file_system(folder: Path, size_bytes: int) -> Iterator[bool]:
    """A file system of its own at `folder`. False where none can be mounted.

    Mounting needs Linux and root.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write to this file until nothing more can be written."""
    for size_bytes in (1024 * 1024, 1):
        append(file, bytes(size_bytes))


def append(file: Path, content: bytes) -> None:
    """Write this content again and again, until the file system is full."""
    with file.open("ab", buffering=0) as target, suppress(OSError):
        while target.write(content):
            pass
