"""The bytes of a bitmap's snapshot, written and read; see the declaration file."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from _fastnet.densetree cimport bits_from, bits_to
from _fastnet.integers cimport ALL_ONES

from _fastnet.errors import SnapshotError

cdef enum:
    HEADER = 48
    CHECKSUM = 4
    VERSION = 1
    MOST_MIXED = 31     # words in one record, so that its first byte is its only one
    MOST_VARINT = 10    # bytes


cdef uint32_t _crc32(const uint8_t* data, size_t size) noexcept nogil:
    """CRC-32 as zlib, gzip and Ethernet have it, over a table of 16: snapshots are small."""
    cdef uint32_t[16] table
    cdef uint32_t crc = 0xFFFFFFFF, one
    cdef size_t i
    cdef int j, k
    for j in range(16):
        one = <uint32_t>j
        for k in range(4):
            one = (one >> 1) ^ (<uint32_t>0xEDB88320 if one & 1 else <uint32_t>0)
        table[j] = one
    for i in range(size):
        crc ^= data[i]
        crc = (crc >> 4) ^ table[crc & 15]
        crc = (crc >> 4) ^ table[crc & 15]
    return ~crc


cdef inline void _store(uint8_t* at, uint64_t value, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        at[i] = <uint8_t>(value >> (8 * i))


cdef inline uint64_t _load(const uint8_t* at, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        value |= <uint64_t>at[i] << (8 * i)
    return value


cdef uint64_t read_word(const uint8_t* at) noexcept nogil:
    return _load(at, 8)


# -- Writing --------------------------------------------------------------------------


cdef int _need(Writer* writer, size_t size) noexcept nogil:
    cdef uint8_t* larger
    if writer.room - writer.used >= size:
        return 0
    if writer.room > SIZE_MAX // 4:
        return -1
    larger = <uint8_t*>PyMem_RawRealloc(writer.data, writer.room * 2)
    if larger == NULL:
        return -1
    writer.data = larger
    writer.room *= 2
    return 0


cdef int writer_open(Writer* writer, uint64_t last) noexcept nogil:
    writer.room = 256
    writer.data = <uint8_t*>PyMem_RawMalloc(writer.room)
    if writer.data == NULL:
        return -1
    writer.used = HEADER
    writer.last = last
    writer.word = writer.begun = writer.run = 0
    writer.kind = -1
    writer.mixed = 0
    return 0


cdef int _flush(Writer* writer) noexcept nogil:
    """Write the run of free or full words."""
    cdef uint64_t head = (writer.run << 2) | <uint64_t>writer.kind
    if writer.run == 0:
        return 0
    if _need(writer, MOST_VARINT) < 0:
        return -1
    while head > 127:
        writer.data[writer.used] = <uint8_t>(head & 127) | 128
        writer.used += 1
        head >>= 7
    writer.data[writer.used] = <uint8_t>head
    writer.used += 1
    writer.run = 0
    return 0


cdef int _words(Writer* writer, int kind, uint64_t words) noexcept nogil:
    """So many words, free or full."""
    if words == 0:
        return 0
    if writer.kind != kind and _flush(writer) < 0:
        return -1
    writer.kind = kind
    writer.run += words
    writer.word += words
    return 0


cdef int _word(Writer* writer, uint64_t bits) noexcept nogil:
    """Write the next word."""
    if bits == 0:
        return _words(writer, FREE_WORDS, 1)
    if bits == (ALL_ONES if writer.word < writer.last >> 6 else bits_to(writer.last)):
        return _words(writer, FULL_WORDS, 1)
    if _flush(writer) < 0 or _need(writer, 9) < 0:
        return -1
    if writer.kind != MIXED_WORDS or writer.data[writer.mixed] >> 2 == MOST_MIXED:
        writer.mixed = writer.used
        writer.data[writer.mixed] = MIXED_WORDS
        writer.used += 1
    writer.kind = MIXED_WORDS
    writer.data[writer.mixed] += 4
    _store(writer.data + writer.used, bits, 8)
    writer.used += 8
    writer.word += 1
    return 0


cdef int _up_to(Writer* writer, uint64_t word) noexcept nogil:
    """Write all before this word; what is not known of is free."""
    cdef uint64_t bits = writer.begun
    if writer.word < word and bits:
        writer.begun = 0
        if _word(writer, bits) < 0:
            return -1
    return _words(writer, FREE_WORDS, word - writer.word)


cdef int writer_range(Writer* writer, uint64_t first, uint64_t stop) noexcept nogil:
    cdef uint64_t full
    if _up_to(writer, first >> 6) < 0:
        return -1
    if first >> 6 == stop >> 6:
        writer.begun |= bits_from(first) & bits_to(stop)
        return 0
    writer.begun |= bits_from(first)
    if _up_to(writer, (first >> 6) + 1) < 0:
        return -1
    full = (stop >> 6) - writer.word
    if _words(writer, FULL_WORDS, full) < 0:
        return -1
    writer.begun = bits_to(stop)
    return 0


cdef int writer_word(Writer* writer, uint64_t word, uint64_t bits) noexcept nogil:
    if _up_to(writer, word) < 0:
        return -1
    return _word(writer, bits)


cdef int writer_close(Writer* writer, const Header* header) noexcept nogil:
    cdef uint8_t* data
    if _up_to(writer, writer.word + (1 if writer.begun else 0)) < 0:
        return -1
    if writer.kind != FREE_WORDS and _flush(writer) < 0:
        return -1
    if _need(writer, CHECKSUM) < 0:
        return -1
    data = writer.data
    memcpy(data, b"FNbm", 4)
    _store(data + 4, VERSION, 2)
    _store(data + 6, 0, 2)
    _store(data + 8, header.last, 8)
    _store(data + 16, header.cursor, 8)
    _store(data + 24, header.taken, 8)
    _store(data + 32, header.dense, 8)
    _store(data + 40, writer.used - HEADER, 8)
    _store(data + writer.used, _crc32(data, writer.used), CHECKSUM)
    writer.used += CHECKSUM
    return 0


# -- Reading --------------------------------------------------------------------------


cdef int _damaged(str why) except -1:
    raise SnapshotError(f"this is no snapshot of a bitmap, or it is damaged: {why}")


cdef int reader_open(Reader* reader, const uint8_t* data, size_t size, Header* header) except -1:
    if size < HEADER + CHECKSUM:
        _damaged(f"{size} bytes are too few")
    if memcmp(data, b"FNbm", 4) != 0:
        _damaged("it does not begin with FNbm")
    if _load(data + 4, 2) != VERSION:
        raise SnapshotError(f"a snapshot of version {_load(data + 4, 2)}; this release reads version {VERSION}")
    if _load(data + 6, 2) != 0:
        _damaged("its header has bits that version 1 does not")
    if _load(data + 40, 8) != size - HEADER - CHECKSUM:
        _damaged(f"{size - HEADER - CHECKSUM} bytes of records, not {_load(data + 40, 8)}")
    if _load(data + size - CHECKSUM, CHECKSUM) != _crc32(data, size - CHECKSUM):
        _damaged("its checksum is wrong")
    header.last = _load(data + 8, 8)
    header.cursor = _load(data + 16, 8)
    header.taken = _load(data + 24, 8)
    header.dense = _load(data + 32, 8)
    if header.cursor > header.last:
        _damaged("its cursor lies outside of the bitmap")
    reader.data = data + HEADER
    reader.used = 0
    reader.size = size - HEADER - CHECKSUM
    reader.last = header.last
    reader.word = 0
    reader.kind = -1
    reader.length = 0
    return 0


cdef int reader_next(Reader* reader, uint64_t* first, uint64_t* words, const uint8_t** at) except -1:
    cdef uint64_t head = 0, length, bits
    cdef int kind, shift = 0
    cdef uint8_t byte = 128
    cdef size_t i
    if reader.used == reader.size:
        if reader.kind == FREE_WORDS:
            _damaged("it ends with free words")
        return -2
    while byte & 128:
        if reader.used == reader.size or shift > 63:
            _damaged("a record breaks off")
        byte = reader.data[reader.used]
        reader.used += 1
        if shift == 63 and byte > 1:
            _damaged("a record is too long")
        head |= <uint64_t>(byte & 127) << shift
        shift += 7
    if byte == 0 and shift > 7:
        _damaged("a number is written in more bytes than it needs")
    kind = <int>(head & 3)
    length = head >> 2
    if kind > MIXED_WORDS or length == 0:
        _damaged("a record of no known kind")
    if kind == reader.kind and (kind != MIXED_WORDS or reader.length != MOST_MIXED):
        _damaged("two records where one would do")
    if reader.word > reader.last >> 6 or length - 1 > (reader.last >> 6) - reader.word:
        _damaged("its records go past its size")
    first[0] = reader.word
    words[0] = length
    if kind == MIXED_WORDS:
        if length > MOST_MIXED or reader.size - reader.used < length * 8:
            _damaged("a record breaks off")
        at[0] = reader.data + reader.used
        for i in range(<size_t>length):
            bits = read_word(at[0] + 8 * i)
            head = ALL_ONES if reader.word + i < reader.last >> 6 else bits_to(reader.last)
            if bits == 0 or bits & ~head or bits == head:
                _damaged("a word is no mixed one")
        reader.used += <size_t>length * 8
    reader.word += length
    reader.kind = kind
    reader.length = length
    return kind
