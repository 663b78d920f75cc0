"""A file system on a loop device of its own, whose counters hold nobody else's bytes."""

import os
import subprocess

from machine import run_quietly

SIZE_BYTES = 3 << 30


def file_bytes(folder):
    """What the files of a folder occupy."""
    return sum((path.stat().st_blocks * 512) for path in folder.rglob("*") if path.is_file())


class LoopDisk:
    def __init__(self, file, fs):
        self.file = file
        self.mount = file.with_suffix(".mnt")
        with file.open("wb") as disk:
            disk.truncate(SIZE_BYTES)
        self.device = subprocess.run(
            ["losetup", "--find", "--show", "--direct-io=on", str(file)],
            capture_output=True, text=True, check=True).stdout.strip()
        # nothing may be left for the background: no lazy initialisation
        if fs == "ext4":
            run_quietly("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard",
                        self.device)
        else:
            run_quietly("mkfs.xfs", "-q", "-K", self.device)
        self.mount.mkdir()
        run_quietly("mount", self.device, self.mount)

    def bytes_written(self):
        """So far, what the file system still held back included."""
        run_quietly("sync", "-f", self.mount)
        with open(f"/sys/block/{os.path.basename(self.device)}/stat", encoding="ascii") as stat:
            return int(stat.read().split()[6]) * 512

    def remove(self):
        subprocess.run(["umount", str(self.mount)], check=False)
        subprocess.run(["losetup", "-d", self.device], check=False)
        self.file.unlink()
