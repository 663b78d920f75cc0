#include "cow-store/identity/digests.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cow-store/base/endian.h"

namespace cowtgt::identity {

namespace {

// FIPS 180-4 section 4.2.2: of the cube roots of the first 64 primes.
constexpr std::array<std::uint32_t, 64> sha256_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

constexpr std::size_t sha256_block = 64;
using Sha256State = std::array<std::uint32_t, 8>;

void sha256_compress(Sha256State& state, const std::byte* block) {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i) {
        be32 word;
        std::memcpy(&word, block + 4 * i, sizeof(word));
        w[i] = word.get();
    }
    for (std::size_t i = 16; i < w.size(); ++i) {
        const std::uint32_t s0 =
            std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
        const std::uint32_t s1 =
            std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (std::size_t i = 0; i < w.size(); ++i) {
        const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
        const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + sha256_constants[i] + w[i];
        const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
        const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    const Sha256State mixed = {a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < state.size(); ++i)
        state[i] += mixed[i];
}

// RFC 7693 section 2.6 (the same as those of SHA-512) and 2.7.
constexpr std::array<std::uint64_t, 8> blake2b_start = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
constexpr std::array<std::array<std::uint8_t, 16>, 10> blake2b_order = {{
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
}};
constexpr std::size_t blake2b_rounds = 12;
constexpr std::size_t blake2b_block = 128;
using Blake2bState = std::array<std::uint64_t, 8>;
using Blake2bWork = std::array<std::uint64_t, 16>;

void blake2b_mix(Blake2bWork& v, const std::array<std::size_t, 4>& at, std::uint64_t x,
                 std::uint64_t y) {
    const auto [a, b, c, d] = at;
    v[a] += v[b] + x;
    v[d] = std::rotr(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = std::rotr(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 63);
}

/// `hashed` counts the bytes up to and with this block, without padding.
void blake2b_compress(Blake2bState& state, const std::byte* block, std::uint64_t hashed,
                      std::uint64_t final_mask) {
    Blake2bWork m;
    for (std::size_t i = 0; i < m.size(); ++i) {
        le64 word;
        std::memcpy(&word, block + 8 * i, sizeof(word));
        m[i] = word.get();
    }
    Blake2bWork v;
    std::copy(state.begin(), state.end(), v.begin());
    std::copy(blake2b_start.begin(), blake2b_start.end(), v.begin() + 8);
    v[12] ^= hashed;
    v[14] ^= final_mask;
    for (std::size_t round = 0; round < blake2b_rounds; ++round) {
        const auto& s = blake2b_order[round % blake2b_order.size()];
        for (std::size_t i = 0; i < 4; ++i)
            blake2b_mix(v, {i, i + 4, i + 8, i + 12}, m[s[2 * i]], m[s[2 * i + 1]]);
        for (std::size_t i = 0; i < 4; ++i) {
            blake2b_mix(v, {i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4}, m[s[8 + 2 * i]],
                        m[s[9 + 2 * i]]);
        }
    }
    for (std::size_t i = 0; i < state.size(); ++i)
        state[i] ^= v[i] ^ v[i + 8];
}

constexpr std::uint64_t xxh_prime_1 = 0x9e3779b185ebca87;
constexpr std::uint64_t xxh_prime_2 = 0xc2b2ae3d27d4eb4f;
constexpr std::uint64_t xxh_prime_3 = 0x165667b19e3779f9;
constexpr std::uint64_t xxh_prime_4 = 0x85ebca77c2b2ae63;
constexpr std::uint64_t xxh_prime_5 = 0x27d4eb2f165667c5;

std::uint64_t xxh_round(std::uint64_t accumulator, std::uint64_t word) {
    return std::rotl(accumulator + word * xxh_prime_2, 31) * xxh_prime_1;
}

template <typename T>
std::uint64_t take(Bytes& bytes) {
    T word;
    std::memcpy(&word, bytes.data(), sizeof(word));
    bytes = bytes.subspan(sizeof(word));
    return word.get();
}

std::uint64_t xxh_stripes(Bytes& bytes) {
    std::array<std::uint64_t, 4> lanes = {xxh_prime_1 + xxh_prime_2, xxh_prime_2, 0,
                                          0 - xxh_prime_1};
    while (bytes.size() >= 32) {
        for (std::uint64_t& lane : lanes)
            lane = xxh_round(lane, take<le64>(bytes));
    }
    std::uint64_t hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
                         std::rotl(lanes[3], 18);
    for (const std::uint64_t lane : lanes)
        hash = (hash ^ xxh_round(0, lane)) * xxh_prime_1 + xxh_prime_4;
    return hash;
}

}  // namespace

Digest256 sha256(Bytes message) {
    Sha256State state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const be64 bits = message.size() * 8;
    for (; message.size() >= sha256_block; message = message.subspan(sha256_block))
        sha256_compress(state, message.data());
    // The rest, a 1 bit, zeros and the length: one block, or two when the length has no room.
    std::array<std::byte, 2 * sha256_block> tail{};
    std::ranges::copy(message, tail.begin());
    tail[message.size()] = std::byte{0x80};
    const std::size_t end =
        message.size() + 1 + sizeof(bits) <= sha256_block ? sha256_block : 2 * sha256_block;
    std::memcpy(tail.data() + end - sizeof(bits), &bits, sizeof(bits));
    for (std::size_t at = 0; at < end; at += sha256_block)
        sha256_compress(state, tail.data() + at);
    Digest256 digest;
    for (std::size_t i = 0; i < state.size(); ++i) {
        const be32 word = state[i];
        std::memcpy(digest.data() + 4 * i, &word, sizeof(word));
    }
    return digest;
}

Digest256 blake2b_256(Bytes message) {
    constexpr std::uint64_t parameters = 0x01010000 | sizeof(Digest256);
    Blake2bState state = blake2b_start;
    state[0] ^= parameters;
    std::uint64_t hashed = 0;
    // The last block is marked as such, so a full one stays behind.
    for (; message.size() > blake2b_block; message = message.subspan(blake2b_block)) {
        hashed += blake2b_block;
        blake2b_compress(state, message.data(), hashed, 0);
    }
    std::array<std::byte, blake2b_block> tail{};
    std::ranges::copy(message, tail.begin());
    blake2b_compress(state, tail.data(), hashed + message.size(), ~std::uint64_t{0});
    Digest256 digest;
    for (std::size_t i = 0; i < 4; ++i) {
        const le64 word = state[i];
        std::memcpy(digest.data() + 8 * i, &word, sizeof(word));
    }
    return digest;
}

std::uint64_t xxh64(Bytes message) {
    const std::uint64_t size = message.size();
    std::uint64_t hash = (size >= 32 ? xxh_stripes(message) : xxh_prime_5) + size;
    while (message.size() >= 8) {
        hash = std::rotl(hash ^ xxh_round(0, take<le64>(message)), 27) * xxh_prime_1 + xxh_prime_4;
    }
    if (message.size() >= 4) {
        hash = std::rotl(hash ^ take<le32>(message) * xxh_prime_1, 23) * xxh_prime_2 + xxh_prime_3;
    }
    for (const std::byte byte : message) {
        hash =
            std::rotl(hash ^ std::to_integer<std::uint64_t>(byte) * xxh_prime_5, 11) * xxh_prime_1;
    }
    hash = (hash ^ hash >> 33) * xxh_prime_2;
    hash = (hash ^ hash >> 29) * xxh_prime_3;
    return hash ^ hash >> 32;
}

}  // namespace cowtgt::identity
