#!/usr/bin/env python3
"""The reads of a booting machine: recorded on the wire, kept as text, read again.

    boot_trace.py record INTERFACE PORT FILE     until SIGTERM; needs root

A line of the text is one READ command: where it begins, counted from the end of the one before, and
its length, both in blocks of 512 bytes.
"""

import pathlib
import signal
import socket
import struct
import sys

BLOCK = 512
HEADER = 48  # basic header segment of an iSCSI PDU
SCSI_COMMAND = 0x01
PADDED = -4  # data segments end at a multiple of 4 bytes
ETHERNET, TCP_PROTOCOL = 14, 6
ETH_P_IP = 0x0800
SO_RCVBUFFORCE = 33


class Stream:
    """The bytes of one direction of a connection, in order."""

    def __init__(self):
        self.next_sequence = None
        self.early = {}  # segments that came before their turn
        self.bytes = bytearray()

    def add(self, sequence, is_first, payload):
        if is_first:
            self.next_sequence = (sequence + 1) & 0xffffffff
            return
        if self.next_sequence is None:
            raise RuntimeError("a connection that was there before the recording")
        if payload:
            self.early[sequence] = payload
        while True:
            known = [start for start in self.early
                     if (self.next_sequence - start) & 0xffffffff < 1 << 31]
            if not known:
                return
            for start in known:
                fresh = self.early.pop(start)[(self.next_sequence - start) & 0xffffffff:]
                self.bytes += fresh
                self.next_sequence = (self.next_sequence + len(fresh)) & 0xffffffff


def reads_of(stream):
    """(first block, blocks) of each READ command that is there whole; takes the PDUs off."""
    data = stream.bytes
    while len(data) >= HEADER:
        size = (HEADER + data[4] * 4 + int.from_bytes(data[5:8], "big") + 3) & PADDED
        if len(data) < size:
            return
        header = bytes(data[:HEADER])
        del data[:size]
        if header[0] & 0x3f != SCSI_COMMAND:
            continue
        cdb = header[32:48]
        if cdb[0] == 0x28:  # READ(10)
            yield struct.unpack(">xxIxH", cdb[:9])
        elif cdb[0] == 0x88:  # READ(16)
            yield struct.unpack(">xxQI", cdb[:14])


def record(interface, port, path):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    packets.bind((interface, 0))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    streams, reads = {}, []
    try:
        while True:
            packet = packets.recv(1 << 17)[ETHERNET:]
            length = (packet[0] & 15) * 4
            if packet[9] != TCP_PROTOCOL:
                continue
            segment = packet[length:int.from_bytes(packet[2:4], "big") or None]
            source, target, sequence = struct.unpack(">HHI", segment[:8])
            if target != port:
                continue
            stream = streams.setdefault((packet[12:16], source), Stream())
            stream.add(sequence, segment[13] & 2, segment[(segment[12] >> 4) * 4:])
            reads.extend(reads_of(stream))
    except KeyboardInterrupt:
        write(path, reads)


def write(path, reads):
    lines, end = [], 0
    for first, blocks in reads:
        lines.append(f"{first - end} {blocks}\n")
        end = first + blocks
    path.write_text("".join(lines), encoding="ascii")
    total = sum(blocks for _, blocks in reads) * BLOCK
    print(f"{len(reads)} reads of {total / 1e6:.1f} MB in {path}")


def read(path):
    """(offset, length) of each read, in bytes."""
    places, end = [], 0
    for line in path.read_text(encoding="ascii").splitlines():
        gap, blocks = map(int, line.split())
        places.append(((end + gap) * BLOCK, blocks * BLOCK))
        end += gap + blocks
    return places


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] != "record":
        sys.exit(__doc__)
    record(sys.argv[2], int(sys.argv[3]), pathlib.Path(sys.argv[4]))
