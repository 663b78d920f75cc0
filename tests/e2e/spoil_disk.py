"""Changes one thing on a disk and puts its checksums right, so that nothing but that is unusual.

    spoil_disk.py WHAT FILE
"""
import struct
import sys
import zlib


def crc32c(data):
    state = 0xffffffff
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82f63b78 if state & 1 else 0)
    return state ^ 0xffffffff


def lvm_crc(data):
    return zlib.crc32(data, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff


class Disk:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.size = self.file.seek(0, 2)

    def take(self, offset, size):
        self.file.seek(offset)
        return bytearray(self.file.read(size))

    def put(self, offset, data):
        self.file.seek(offset)
        self.file.write(data)

    # Btrfs: all superblocks get a field of 8 bytes with some bits set.
    def btrfs(self, at, bits, size=8):
        for offset in 64 << 10, 64 << 20:
            if offset + 4096 > self.size:
                continue
            block = self.take(offset, 4096)
            value = int.from_bytes(block[at:at + size], "little") | bits
            block[at:at + size] = value.to_bytes(size, "little")
            block[0:4] = struct.pack("<I", crc32c(block[32:]))
            self.put(offset, block)

    # LVM2: the header of the metadata area, and the text of the group that it points to.
    def lvm(self, change_header=None, change_text=None):
        area = 4096
        header = self.take(area, 512)
        if change_text:
            offset, size = struct.unpack_from("<QQ", header, 40)
            text = change_text(bytes(self.take(area + offset, size)))
            assert len(text) == size
            self.put(area + offset, text)
            struct.pack_into("<I", header, 56, lvm_crc(text))
        if change_header:
            change_header(header)
        struct.pack_into("<I", header, 0, lvm_crc(header[4:]))
        self.put(area, header)

    # GPT: the backup's first partition gets another name than the primary's.
    def rename_in_backup(self):
        at = self.size - 512
        header = self.take(at, 92)
        lba, count, size = struct.unpack_from("<QII", header, 72)
        entries = self.take(lba * 512, count * size)
        entries[56:58] = "x".encode("utf-16le")
        self.put(lba * 512, entries)
        struct.pack_into("<I", header, 88, zlib.crc32(entries))
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        self.put(at, header)

    # XFS that was just made: its only log record is no longer one of an unmount.
    def xfs_log_in_use(self):
        superblock = self.take(0, 512)
        block_size, = struct.unpack_from(">I", superblock, 4)
        start, = struct.unpack_from(">Q", superblock, 48)
        group_blocks, = struct.unpack_from(">I", superblock, 84)
        bits = superblock[124]
        block = (start >> bits) * group_blocks + (start & (1 << bits) - 1)
        record = block * block_size
        assert self.take(record, 4) == b"\xfe\xed\xba\xbe"
        flags = record + 512 + 9
        self.put(flags, bytes([self.take(flags, 1)[0] & ~0x20]))


def thin(text):
    assert b'type = "striped"' in text
    return text.replace(b'type = "striped"', b'type = "thin"   ')


def two_versions(header):
    header[64:88] = header[40:64]


def ignored(header):
    struct.pack_into("<I", header, 60, 1)


disk = Disk(sys.argv[2])
{
    "btrfs-feature": lambda: disk.btrfs(0xbc, 1 << 40),
    "btrfs-error": lambda: disk.btrfs(0x38, 1 << 2),
    "btrfs-changing": lambda: disk.btrfs(0x38, 1 << 35),
    "btrfs-checksums": lambda: disk.btrfs(0xc4, 9, 2),
    "lvm-precommitted": lambda: disk.lvm(change_header=two_versions),
    "lvm-ignored": lambda: disk.lvm(change_header=ignored),
    "lvm-thin": lambda: disk.lvm(change_text=thin),
    "gpt-copies": disk.rename_in_backup,
    "xfs-log": disk.xfs_log_in_use,
}[sys.argv[1]]()
