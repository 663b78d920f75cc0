#!/usr/bin/python3
"""Reads a layer file by what cow-store/FORMAT.md says, and by nothing else of this project.

    format_reader.py OUTPUT SIZE [--died] LAYER... [BASE]

LAYERs go from the top down, BASE is the raw image below them ('-': none). Writes the disk of SIZE
bytes to OUTPUT. --died: the first layer was left open by a process that died while the kernel went
on; without it, records that were not committed do not count. Ends with 1 and a sentence if
anything is not as the document says.
"""

import struct
import sys

import xxhash  # Debian: python3-xxhash

UNIT = 4096
INHERIT, ZERO = 0, 1
CLEAN, OPEN, SEALED, FENCED = 1, 2, 3, 4
PACKED, DENSE = 1, 2
TENTATIVE, COMMIT, COMMIT_WITH_HASHES = 1, 2, 3
HASHED_COMMITS = 1  # incompatible feature


def checksum(data):
    return xxhash.xxh3_64_intdigest(data)


def need(condition, what):
    if not condition:
        sys.exit(f"format_reader: {what}")


class Superblock:
    def __init__(self, unit):
        (magic, version, self.block_size, incompatible, _, _, self.uuid, self.generation,
         self.virtual_size, self.parent, self.parent_content, self.overlap, self.state,
         self.directory, self.directory_sum, self.boot_id, self.inode, self.ring,
         self.ring_units, self.head, self.epoch, self.sequence, self.previous
         ) = struct.unpack_from("<8sIIQQQ16sQQ16sQQIIQ16sQIIQQQQ", unit)
        self.whole = magic == b"cowlayer" and checksum(unit[:4088]) == struct.unpack_from(
            "<Q", unit, 4088)[0]
        if self.whole:
            known = HASHED_COMMITS if self.state in (OPEN, FENCED) else 0
            need(version == 1 and incompatible & ~known == 0, "another format")
            need(not any(unit[184:4088]), "reserved bytes of the superblock")


class Layer:
    def __init__(self, path, died):
        with open(path, "rb") as file:
            self.data = file.read()
        copies = [Superblock(self.unit(copy)) for copy in (0, 1)]
        whole = [copy for copy in copies if copy.whole]
        need(whole, "no whole superblock")
        self.superblock = max(whole, key=lambda copy: copy.generation)
        self.overlap = self.superblock.overlap
        self.values = {}
        self.read_directory()
        if self.superblock.state in (OPEN, FENCED):
            self.replay(died and self.superblock.state == OPEN)
        units = [value for value in self.values.values() if value > ZERO]
        need(len(units) == len(set(units)), "a unit is named twice")
        need(all(unit < len(self.data) // UNIT for unit in units), "a unit beyond the file")

    def unit(self, number):
        return self.data[number * UNIT:(number + 1) * UNIT]

    def page(self, number, expected):
        page = self.unit(number)
        need(len(page) == UNIT and checksum(page) == expected, f"the checksum of unit {number}")
        return page

    def read_directory(self):
        unit, expected = self.superblock.directory, self.superblock.directory_sum
        last = -1
        while unit != 0:
            page = self.page(unit, expected)
            magic, count, zero, generation, unit, zero_too, expected = struct.unpack_from(
                "<4sHHQIIQ", page)
            need(magic == b"mapd" and count <= 203 and zero == zero_too == 0, "a directory page")
            need(generation <= self.superblock.generation, "a directory page from the future")
            for index in range(count):
                first, place, form, expected_page = struct.unpack_from(
                    "<IIIQ", page, 32 + 20 * index)
                need(first > last, "the directory is out of order")
                last = first
                self.read_map_page(self.page(place, expected_page), first, form)

    def read_map_page(self, page, first, form):
        if form == DENSE:
            for index, value in enumerate(struct.unpack("<1024I", page)):
                self.assign(first * 1024 + index, 1, value)
            return
        need(form == PACKED, "the form of a map page")
        magic, leaves, used, _ = struct.unpack_from("<4sHHQ", page)
        need(magic == b"mapp", "a map page")
        at = 16
        for _ in range(leaves):
            leaf, runs, _ = struct.unpack_from("<IHH", page, at)
            need(leaf >= first, "a leaf of another page")
            at += 8
            for _ in range(runs):
                cluster, count, value = struct.unpack_from("<HHI", page, at)
                at += 8
                self.assign(leaf * 1024 + cluster, count, value)
        need(at == used and not any(page[at:]), "the end of a map page")

    def assign(self, cluster, count, value):
        for index in range(count):
            here = value + index if value > ZERO else value
            if here == INHERIT:
                self.values.pop(cluster + index, None)
            else:
                self.values[cluster + index] = here

    def replay(self, all_count):
        block = self.superblock
        begin, size = block.ring * UNIT, block.ring_units * UNIT
        ring = self.data[begin:begin + size]
        ring = ring[block.head:] + ring[:block.head]
        salt = checksum(block.uuid + struct.pack("<Q", block.epoch))
        at, sequence, previous = 0, block.sequence, block.previous
        committed, records, doubtful = sequence - 1, [], None
        while True:
            record = self.record(ring, at, salt)
            if record is None or record[1:4:2] != (sequence, previous):
                break
            kind, _, confirmed, _, previous, entries = record
            committed = max(committed, confirmed)
            if kind == COMMIT_WITH_HASHES:
                doubtful = sequence, entries
            else:
                records.append((sequence, entries))
            sequence += 1
            at += 48 + 12 * len(entries)
        if doubtful and doubtful[0] > committed and all(
                checksum(self.unit(unit)) == expected for unit, expected in doubtful[1]):
            committed = doubtful[0]
        for number, entries in records:
            if not all_count and number > committed:
                break
            for cluster, count, value in entries:
                self.assign(cluster, count, value)

    def record(self, ring, at, salt):
        if at + 48 > len(ring):
            return None
        magic, kind, zero, count, epoch, sequence, committed, previous, found = struct.unpack_from(
            "<4sBBHQQQQQ", ring, at)
        end = at + 48 + 12 * count
        if (magic != b"jrec" or kind not in (TENTATIVE, COMMIT, COMMIT_WITH_HASHES)
                or zero or count > 2048
                or epoch != self.superblock.epoch or end > len(ring)):
            return None
        raw = ring[at:at + 40] + struct.pack("<Q", salt) + ring[at + 48:end]
        if checksum(raw) != found:
            return None
        layout = "<IQ" if kind == COMMIT_WITH_HASHES else "<III"
        entries = [struct.unpack_from(layout, ring, at + 48 + 12 * i) for i in range(count)]
        return kind, sequence, committed, previous, found, entries


def cluster_of(layers, base, cluster):
    """A cluster as it reads through the chain."""
    if not layers:
        return base[cluster * UNIT:(cluster + 1) * UNIT].ljust(UNIT, b"\0")
    value = layers[0].values.get(cluster, INHERIT)
    if value == ZERO:
        return bytes(UNIT)
    if value != INHERIT:
        return layers[0].unit(value)
    visible = min(max(layers[0].overlap - cluster * UNIT, 0), UNIT)
    return cluster_of(layers[1:], base, cluster)[:visible].ljust(UNIT, b"\0")


def main():
    words = sys.argv[1:]
    died = "--died" in words
    output, size, *paths = [word for word in words if word != "--died"]
    layers = [Layer(path, died and index == 0) for index, path in enumerate(paths[:-1])]
    base = b""
    if paths[-1] != "-":
        with open(paths[-1], "rb") as file:
            base = file.read()
    for upper, lower in zip(layers, layers[1:]):
        need(upper.superblock.parent == lower.superblock.uuid, "a layer stands on another one")
        need(lower.superblock.state == SEALED, "a layer below is not sealed")
    size = int(size)
    need(layers[0].superblock.virtual_size == size, "the size of the disk")
    with open(output, "wb") as file:
        for cluster in range((size + UNIT - 1) // UNIT):
            file.write(cluster_of(layers, base, cluster))
        file.truncate(size)


main()
