#include "cow-store/base/checksum.h"

#include <array>
#include <cstring>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#endif
#if defined(COWTGT_HAVE_ISAL)
#include <isa-l/crc.h>
#endif
#include <xxhash.h>

namespace cowtgt {

namespace {

constexpr std::array<std::uint32_t, 256> reflected_table(std::uint32_t polynomial) {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc & 1) != 0 ? crc >> 1 ^ polynomial : crc >> 1;
        }
        table[i] = crc;
    }
    return table;
}

std::uint32_t table_update(const std::array<std::uint32_t, 256>& table, std::uint32_t state,
                           Bytes bytes) {
    for (const std::byte byte : bytes) {
        state = table[(state ^ static_cast<std::uint32_t>(byte)) & 0xff] ^ state >> 8;
    }
    return state;
}

#if defined(__SSE4_2__)
std::uint32_t sse_update(std::uint32_t state, Bytes bytes) {
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t wide = state;
    for (; left >= 8; at += 8, left -= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    state = static_cast<std::uint32_t>(wide);
    for (; left != 0; ++at, --left) {
        state = _mm_crc32_u8(state, static_cast<std::uint8_t>(*at));
    }
    return state;
}
#endif

}  // namespace

std::uint32_t crc32c_update(std::uint32_t state, Bytes bytes) {
#if defined(COWTGT_HAVE_ISAL)
    constexpr std::size_t isal_pays_from = 256;  // bytes; below it the call costs more
    if (bytes.size() >= isal_pays_from && bytes.size() <= 0x40000000) {
        auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
        return crc32_iscsi(data, static_cast<int>(bytes.size()), state);
    }
#endif
#if defined(__SSE4_2__)
    return sse_update(state, bytes);
#else
    static constexpr auto table = reflected_table(0x82F63B78);
    return table_update(table, state, bytes);
#endif
}

std::uint32_t crc32c(Bytes bytes) {
    return crc32c_finish(crc32c_update(crc32c_start, bytes));
}

std::uint32_t crc32_ieee(Bytes bytes) {
    static constexpr auto table = reflected_table(0xEDB88320);
    return ~table_update(table, ~0U, bytes);
}

std::uint64_t xxh3_64(Bytes bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace cowtgt
