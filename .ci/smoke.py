"""Allocates and encodes something with the installed package; needs no privileges and no network.

Run after installing a wheel, from anywhere: ``python .ci/smoke.py``.
"""

from __future__ import annotations

import platform
import struct
import sys
import sysconfig


def main() -> None:
    import driverapi
    from _fastnet import Batch, Bitmap, InterfaceList, IPPool, MACPool

    bitmap = Bitmap(4096)
    ordinals = memoryview(bitmap.allocate_many(1000))
    expect("ordinals", list(ordinals), list(range(1000)))
    bitmap.release(5)
    expect("first free", bitmap.allocate(), 5)

    four, six = IPPool("10.0.0.0/24"), IPPool("fd00::/64")
    address = four.allocate_text()
    expect("IPv4", (address.rpartition(".")[0], address in four), ("10.0.0", True))
    packed = six.allocate_packed()
    expect(
        "IPv6 in a /64",
        (len(packed), packed[:8], packed in six),
        (16, bytes.fromhex("fd00" + "00" * 6), True),
    )
    mac = MACPool().derive(0x0A000001)
    expect("MAC", mac, bytes.fromhex("02420a000001"))
    rows = InterfaceList()
    expect("interface row", rows.append(1, mac, bytes([10, 0, 0, 1]), 24), 0)

    batch = Batch()
    batch.add_veth("dv0", "eth0", mac=mac, peer_mac=mac, mtu=1400)
    batch.add_address(2, bytes([10, 0, 0, 1]), 24)
    wire = bytes(batch)
    kinds = []
    offset = 0
    while offset < len(wire):  # struct nlmsghdr: length, type, flags, sequence, port
        length, kind = struct.unpack_from("=IH", wire, offset)
        kinds.append(kind)
        offset += length
    expect("messages", kinds, [16, 20])  # RTM_NEWLINK, RTM_NEWADDR
    expect("bytes", offset, batch.nbytes)

    python = f"{platform.python_implementation()} {platform.python_version()}"
    threads = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with GIL"
    if threads == "free-threaded":
        expect("a GIL that stays off", sys._is_gil_enabled(), False)
    print(f"smoke: driverapi {driverapi.__version__} allocates and encodes on {python} ({threads})")


def expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        sys.exit(f"smoke: {what}: got {got!r}, wanted {wanted!r}")


if __name__ == "__main__":
    main()
