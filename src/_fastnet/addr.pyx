"""IPv4, IPv6 and MAC addresses as text and as bytes (RFC 4291, RFC 5952)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _fastnet.integers cimport PyIndex_Check, read_u64, shown

from _fastnet.errors import OutOfRange

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* length) except NULL
    object PyUnicode_New(Py_ssize_t length, Py_UCS4 most)
    void* PyUnicode_DATA(object text) noexcept

cdef extern from *:
    """
    static const char fastnet_hex[] = "0123456789abcdef";
    """
    const char* HEX "fastnet_hex"


# -- Text to numbers ---------------------------------------------------------------------

cdef inline int _digit(char c) noexcept nogil:
    """A hexadecimal digit's value, or -1."""
    if c >= c"0" and c <= c"9":
        return c - c"0"
    if c >= c"a" and c <= c"f":
        return c - c"a" + 10
    if c >= c"A" and c <= c"F":
        return c - c"A" + 10
    return -1


cdef bint parse_ipv4(const char* text, Py_ssize_t length, uint32_t* address) noexcept nogil:
    cdef uint32_t got = 0, octet
    cdef Py_ssize_t at = 0, start
    cdef int part
    for part in range(4):
        if part:
            if at >= length or text[at] != c".":
                return False
            at += 1
        start = at
        octet = 0
        while at < length and at - start < 3 and text[at] >= c"0" and text[at] <= c"9":
            octet = octet * 10 + <uint32_t>(text[at] - c"0")
            at += 1
        # A leading zero would be octal for some readers.
        if at == start or octet > 255 or (at - start > 1 and text[start] == c"0"):
            return False
        got = (got << 8) | octet
    if at != length:
        return False
    address[0] = got
    return True


cdef bint parse_ipv6(const char* text, Py_ssize_t length, Address* address) noexcept nogil:
    cdef uint16_t groups[8]
    cdef int count = 0, gap = -1, digits, i, shift
    cdef uint32_t group
    cdef uint32_t tail
    cdef Py_ssize_t at = 0, start
    if length >= 2 and text[0] == c":" and text[1] == c":":
        gap = 0
        at = 2
    while at < length:
        start = at
        group = 0
        digits = 0
        while at < length and digits < 5 and _digit(text[at]) >= 0:
            group = (group << 4) | <uint32_t>_digit(text[at])
            digits += 1
            at += 1
        if at < length and text[at] == c".":
            # The last 32 bits in IPv4's manner.
            if count > 6 or not parse_ipv4(text + start, length - start, &tail):
                return False
            groups[count] = <uint16_t>(tail >> 16)
            groups[count + 1] = <uint16_t>(tail & 0xFFFF)
            count += 2
            at = length
            break
        if digits == 0 or digits > 4 or count == 8:
            return False
        groups[count] = <uint16_t>group
        count += 1
        if at == length:
            break
        if text[at] != c":":
            return False
        at += 1
        if at == length:
            return False        # a single colon at the end
        if text[at] == c":":
            if gap >= 0:
                return False
            gap = count
            at += 1
    # "::" stands for at least one group.
    if (gap < 0 and count != 8) or (gap >= 0 and count > 7):
        return False
    address.high = address.low = 0
    address.version = 6
    for i in range(count):
        shift = i
        if 0 <= gap <= i:
            shift += 8 - count
        if shift < 4:
            address.high |= <uint64_t>groups[i] << (48 - 16 * shift)
        else:
            address.low |= <uint64_t>groups[i] << (112 - 16 * shift)
    return True


cdef bint parse_mac(const char* text, Py_ssize_t length, uint64_t* mac) noexcept nogil:
    cdef uint64_t got = 0
    cdef int i, upper, lower
    if length != MAC_TEXT or (text[2] != c":" and text[2] != c"-"):
        return False
    for i in range(6):
        upper = _digit(text[3 * i])
        lower = _digit(text[3 * i + 1])
        if upper < 0 or lower < 0 or (i < 5 and text[3 * i + 2] != text[2]):
            return False
        got = (got << 8) | <uint64_t>(upper << 4 | lower)
    mac[0] = got
    return True


# -- Numbers to text ---------------------------------------------------------------------

cdef Py_ssize_t write_ipv4(uint32_t address, char* out) noexcept nogil:
    cdef char* at = out
    cdef uint32_t octet
    cdef int part
    for part in range(4):
        octet = (address >> (24 - 8 * part)) & 0xFF
        if octet >= 100:
            at[0] = <char>(c"0" + octet // 100)
            at += 1
        if octet >= 10:
            at[0] = <char>(c"0" + octet // 10 % 10)
            at += 1
        at[0] = <char>(c"0" + octet % 10)
        at[1] = c"."
        at += 2
        if part == 3:
            at -= 1     # no dot after the last; it was written within IPV4_TEXT
    return at - out


cdef Py_ssize_t write_ipv6(uint64_t high, uint64_t low, char* out) noexcept nogil:
    cdef uint16_t groups[8]
    cdef int i, run, gap = -1, gap_length = 1, shift
    cdef char* at = out
    cdef bint begun
    if high == 0 and low >> 32 == 0xFFFF:
        # RFC 5952 section 5: the prefix tells that an IPv4 address is inside.
        memcpy(out, b"::ffff:", 7)
        return 7 + write_ipv4(<uint32_t>low, out + 7)
    for i in range(4):
        groups[i] = <uint16_t>((high >> (48 - 16 * i)) & 0xFFFF)
        groups[i + 4] = <uint16_t>((low >> (48 - 16 * i)) & 0xFFFF)
    # RFC 5952 section 4.2: the longest run of zeros, the first of equals, never a single one.
    run = 0
    for i in range(8):
        run += 1
        if groups[i]:
            run = 0
        if run > gap_length:
            gap_length = run
            gap = i - run + 1
    i = 0
    while i < 8:
        if i == gap:
            at[0] = c":"
            at[1] = c":"
            at += 2
            i += gap_length
            continue
        if i and i != gap + gap_length:
            at[0] = c":"
            at += 1
        begun = False
        for shift in range(12, -1, -4):
            if begun or shift == 0 or (groups[i] >> shift) & 0xF:
                at[0] = HEX[(groups[i] >> shift) & 0xF]
                at += 1
                begun = True
        i += 1
    return at - out


cdef void write_mac(uint64_t mac, char* out) noexcept nogil:
    cdef int i
    for i in range(6):
        out[3 * i] = HEX[(mac >> (44 - 8 * i)) & 0xF]
        out[3 * i + 1] = HEX[(mac >> (40 - 8 * i)) & 0xF]
        if i < 5:
            out[3 * i + 2] = c":"


# -- Bytes -------------------------------------------------------------------------------

cdef uint64_t load_be(const uint8_t* data, int size) noexcept nogil:
    cdef uint64_t got = 0
    cdef int i
    for i in range(size):
        got = (got << 8) | data[i]
    return got


cdef void store_be(uint64_t value, uint8_t* out, int size) noexcept nogil:
    cdef int i
    for i in range(size - 1, -1, -1):
        out[i] = <uint8_t>(value & 0xFF)
        value >>= 8


# -- Python objects ----------------------------------------------------------------------

cdef str ascii(const char* text, Py_ssize_t length):
    cdef object made = PyUnicode_New(length, 127)
    memcpy(PyUnicode_DATA(made), text, <size_t>length)
    return made


cdef int read_address(object source, Address* address) except -1:
    cdef const char* text
    cdef const uint8_t* data
    cdef Py_ssize_t length
    cdef uint32_t ipv4
    if isinstance(source, str):
        text = PyUnicode_AsUTF8AndSize(source, &length)
        if parse_ipv4(text, length, &ipv4):
            address.high = 0
            address.low = ipv4
            address.version = 4
        elif not parse_ipv6(text, length, address):
            raise ValueError(f"{_quoted(source)} is no IPv4 or IPv6 address")
    elif isinstance(source, bytes):
        data = <const uint8_t*>PyBytes_AS_STRING(source)
        length = PyBytes_GET_SIZE(source)
        if length != 4 and length != 16:
            raise ValueError(f"an address has 4 or 16 bytes, not {length}")
        address.version = 4 if length == 4 else 6
        address.high = 0 if length == 4 else load_be(data, 8)
        address.low = load_be(data, 4) if length == 4 else load_be(data + 8, 8)
    else:
        raise TypeError(f"an address must be text or bytes, not {type(source).__name__}")
    return 0


cdef str address_text(const Address* address):
    cdef char text[IPV6_TEXT]
    if address.version == 4:
        return ascii(text, write_ipv4(<uint32_t>address.low, text))
    return ascii(text, write_ipv6(address.high, address.low, text))


cdef bytes address_packed(const Address* address):
    cdef uint8_t packed[16]
    if address.version == 4:
        store_be(address.low, packed, 4)
        return PyBytes_FromStringAndSize(<char*>packed, 4)
    store_be(address.high, packed, 8)
    store_be(address.low, packed + 8, 8)
    return PyBytes_FromStringAndSize(<char*>packed, 16)


cdef int read_mac(object source, uint64_t* mac) except -1:
    cdef const char* text
    cdef Py_ssize_t length
    if isinstance(source, str):
        text = PyUnicode_AsUTF8AndSize(source, &length)
        if not parse_mac(text, length, mac):
            raise ValueError(f"{_quoted(source)} is no MAC address, as 02:42:0a:00:00:01")
    elif isinstance(source, bytes):
        if PyBytes_GET_SIZE(source) != 6:
            raise ValueError(f"a MAC address has 6 bytes, not {len(source)}")
        mac[0] = load_be(<const uint8_t*>PyBytes_AS_STRING(source), 6)
    elif not PyIndex_Check(source):
        raise TypeError(f"a MAC address must be text, bytes or an integer, not {type(source).__name__}")
    elif not read_u64(source, "a MAC address", mac) or mac[0] >> 48:
        raise OutOfRange(f"a MAC address is below 2**48, not {shown(source)}")
    return 0


cdef str text_of_mac(uint64_t mac):
    cdef char text[MAC_TEXT]
    write_mac(mac, text)
    return ascii(text, MAC_TEXT)


cdef bytes mac_packed(uint64_t mac):
    cdef uint8_t packed[6]
    store_be(mac, packed, 6)
    return PyBytes_FromStringAndSize(<char*>packed, 6)


cdef str _quoted(object text):
    return repr(text if len(text) <= 64 else text[:61] + "...")


def pack_ip(str text not None, /) -> bytes:
    """Give an IPv4 or IPv6 address as bytes.

    Parameters
    ----------
    text : str
        RFC 4291 section 2.2, every form; four decimal octets without leading zeros. No
        prefix length, no zone, no blanks.

    Returns
    -------
    bytes
        4 or 16, network order.

    Raises
    ------
    ValueError
        It is no address.

    Thread safety: a function of its argument.
    """
    cdef Address address
    read_address(text, &address)
    return address_packed(&address)


def ip_text(bytes packed not None, /) -> str:
    """Give the text of an address of 4 or 16 bytes.

    IPv6 as RFC 5952 recommends: lower case, no leading zeros, the longest run of at least two
    zero groups (the first of equals) as ``::``; IPv4-mapped addresses end in dotted form.

    Raises
    ------
    ValueError
        The length is another.

    Thread safety: a function of its argument.
    """
    cdef Address address
    read_address(packed, &address)
    return address_text(&address)


def pack_mac(str text not None, /) -> bytes:
    """Give a MAC's 6 bytes: six pairs of hexadecimal digits between colons or between hyphens.

    Raises
    ------
    ValueError
        It is no MAC.

    Thread safety: a function of its argument.
    """
    cdef uint64_t mac
    read_mac(text, &mac)
    return mac_packed(mac)


def mac_text(bytes packed not None, /) -> str:
    """Give the text of a MAC's 6 bytes: lower case, colons.

    Raises
    ------
    ValueError
        The length is another.

    Thread safety: a function of its argument.
    """
    cdef uint64_t mac
    read_mac(packed, &mac)
    return text_of_mac(mac)
