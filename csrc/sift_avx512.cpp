// AVX-512 with BITALG, VBMI2 and VPOPCNTDQ: thirty-two entries are sifted, sixteen weighed at a
// time.
//
// Which entries pass is as good as random, so positions are written by compression and not by
// branches that could not be foretold.
#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own AVX-512 header trips over its "undefined" registers (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include <algorithm>

#include "sift.hpp"

#define DSAH_AVX512                                                                  \
    __attribute__((                                                                  \
        target("avx512f,avx512bw,avx512vl,avx512vpopcntdq,avx512bitalg,avx512vbmi2," \
               "popcnt,bmi2")))
#define DSAH_INLINE DSAH_AVX512 inline __attribute__((always_inline))

namespace dsah {
namespace {

constexpr std::size_t kAsked = 256;  // other halves on their way from long buckets at a time
constexpr std::size_t kBlock = 16;   // short buckets that are sifted together

alignas(64) const std::uint16_t kCounting[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                                 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/// What the rest of a half has to be like.
struct Wanted {
    const std::uint16_t* near;
    __m512i query, low, span;

    DSAH_INLINE explicit Wanted(const Sieve& sieve)
        : near(sieve.near),
          query(_mm512_set1_epi16(static_cast<short>(sieve.near_query))),
          low(_mm512_set1_epi16(static_cast<short>(sieve.near_low))),
          span(_mm512_set1_epi16(static_cast<short>(sieve.near_high - sieve.near_low))) {}

    /// Of the 32 entries from `at`, if so many are left, those that pass.
    DSAH_INLINE std::uint32_t among(std::uint32_t at, std::uint32_t left) const {
        const __m512i rests = _mm512_loadu_si512(near + at);
        const __m512i d = _mm512_popcnt_epi16(_mm512_xor_si512(rests, query));
        // Below `low` the difference wraps around and is beyond any span.
        return _mm512_mask_cmple_epu16_mask(left < 32 ? _bzhi_u32(~0u, left) : ~0u,
                                            _mm512_sub_epi16(d, low), span);
    }
};

/// Asks for the other halves of entries.
DSAH_INLINE void ask(const std::uint32_t* far, const std::uint32_t* entries, std::size_t count) {
    if (far)
        for (std::size_t i = 0; i < count; ++i) __builtin_prefetch(far + entries[i]);
}

/// Sifts up to 32 entries of one bucket; returns how many pass.
DSAH_INLINE std::size_t take(const Wanted& wanted, std::uint32_t at, std::uint32_t left,
                             std::uint32_t* entries) {
    const std::uint32_t in = wanted.among(at, left);
    const __m512i hits = _mm512_maskz_compress_epi16(in, _mm512_load_si512(kCounting));
    const __m256i some = _mm512_castsi512_si256(hits), more = _mm512_extracti64x4_epi64(hits, 1);
    const __m512i first = _mm512_set1_epi32(static_cast<int>(at));
    _mm512_storeu_si512(entries, _mm512_add_epi32(first, _mm512_cvtepu16_epi32(some)));
    // Always both: there is no telling which buckets have so many entries.
    _mm512_storeu_si512(entries + 16, _mm512_add_epi32(first, _mm512_cvtepu16_epi32(more)));
    return static_cast<std::size_t>(_mm_popcnt_u32(in));
}

/// Buckets one by one: long ones, and those that are too short to be aligned.
DSAH_AVX512 std::size_t sift_long(const Sieve& sieve, Place& place, std::uint32_t* entries) {
    const Wanted wanted(sieve);
    std::size_t n = 0, i = place.bucket, seen = place.seen;
    std::uint32_t done = place.done;
    for (; i < sieve.count; ++i, done = 0) {
        if (i + sieve.ahead < sieve.count) sieve.fetch(i + sieve.ahead);
        const std::uint32_t bucket = sieve.bucket(i);
        const std::uint32_t begin = sieve.bounds.begin(bucket), end = sieve.bounds.end(bucket);
        for (std::uint32_t at = begin + done; at < end; at += 32) {
            if (n > kAsked - 32) {
                place = {i, at - begin, seen};
                ask(sieve.far, entries, n);
                return n;
            }
            n += take(wanted, at, end - at, entries + n);
        }
        seen += end - begin;
    }
    place = {i, 0, seen};
    ask(sieve.far, entries, n);
    return n;
}

/// The bounds of buckets that are sifted together; those past the last are empty.
struct Block {
    alignas(64) std::uint32_t begin[kBlock], end[kBlock];

    static DSAH_INLINE __m512i first_places(const Bounds& bounds, __m512i words) {
        return _mm512_sll_epi32(_mm512_srli_epi32(words, Bounds::kFreeBits),
                                _mm_cvtsi32_si128(static_cast<int>(bounds.unit)));
    }

    /// Asks for the words that `open` reads.
    static DSAH_INLINE void expect(const Sieve& sieve, std::size_t i) {
        if (i + kBlock > sieve.count) return;
        for (std::size_t j = i; j < i + kBlock; ++j)
            __builtin_prefetch(sieve.bounds.words + sieve.bucket(j));
    }

    /// Reads the bounds from bucket i on, and asks for the first line of each.
    DSAH_INLINE void open(const Sieve& sieve, std::size_t i) {
        if (i >= sieve.count) return;
        const std::size_t left = std::min(sieve.count - i, kBlock);
        const auto in = static_cast<__mmask16>((1u << left) - 1);
        const __m512i zero = _mm512_setzero_si512();
        const __m512i flips = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(in, sieve.flips + i));
        const __m512i at = _mm512_xor_si512(_mm512_set1_epi32(static_cast<int>(sieve.own)), flips);
        const std::uint32_t* words = sieve.bounds.words;
        const __m512i word = _mm512_mask_i32gather_epi32(zero, in, at, words, 4);
        const __m512i next = _mm512_mask_i32gather_epi32(zero, in, at, words + 1, 4);
        const __m512i free = _mm512_and_si512(word, _mm512_set1_epi32(Bounds::kFree));
        _mm512_store_si512(begin, first_places(sieve.bounds, word));
        _mm512_store_si512(end, _mm512_sub_epi32(first_places(sieve.bounds, next), free));
        for (const std::uint32_t place : begin) __builtin_prefetch(sieve.near + place);
    }

    DSAH_INLINE __m512i counts() const {
        return _mm512_sub_epi32(_mm512_load_si512(end), _mm512_load_si512(begin));
    }
};

/// Sifts buckets of at most 32 entries each; returns how many pass. Needs room for 512.
DSAH_INLINE std::size_t take_all(const Wanted& wanted, const Block& block, std::uint32_t* entries) {
    alignas(64) std::uint16_t hits[kBlock * 32 + 32];  // bucket of the block, and which of 32
    std::size_t count = 0;
    __m512i numbers = _mm512_load_si512(kCounting);
    for (std::size_t lane = 0; lane < kBlock; ++lane) {
        const std::uint32_t at = block.begin[lane];
        const std::uint32_t in = wanted.among(at, block.end[lane] - at);
        _mm512_storeu_si512(hits + count, _mm512_maskz_compress_epi16(in, numbers));
        count += static_cast<std::size_t>(_mm_popcnt_u32(in));
        numbers = _mm512_add_epi16(numbers, _mm512_set1_epi16(32));
    }
    const __m512i begin = _mm512_load_si512(block.begin);
    for (std::size_t j = 0; j < count; j += 16) {
        const auto* some = reinterpret_cast<const __m256i*>(hits + j);
        const __m512i hit = _mm512_cvtepu16_epi32(_mm256_load_si256(some));
        const __m512i first = _mm512_permutexvar_epi32(_mm512_srli_epi32(hit, 5), begin);
        const __m512i which = _mm512_and_si512(hit, _mm512_set1_epi32(31));
        _mm512_storeu_si512(entries + j, _mm512_add_epi32(first, which));
    }
    return count;
}

/// Buckets of which most lie in one line of the cache. While a block is sifted, the next one's
/// entries and the bounds of the one after are on their way.
DSAH_AVX512 std::size_t sift_short(const Sieve& sieve, Place& place, std::uint32_t* entries) {
    const Wanted wanted(sieve);
    Block blocks[2];
    std::size_t n = 0, i = place.bucket, seen = place.seen, turn = 0;
    std::uint32_t done = place.done;
    Block::expect(sieve, i);
    Block::expect(sieve, i + kBlock);
    blocks[0].open(sieve, i);
    for (; i < sieve.count && n <= kSiftRoom - 32 * kBlock; i += kBlock) {
        Block::expect(sieve, i + 2 * kBlock);
        const Block& block = blocks[turn];
        blocks[turn ^= 1].open(sieve, i + kBlock);
        const __m512i counts = block.counts();
        if (_mm512_cmpgt_epu32_mask(counts, _mm512_set1_epi32(32)) == 0) {
            const std::size_t passing = take_all(wanted, block, entries + n);
            ask(sieve.far, entries + n, passing);
            n += passing;
            seen += static_cast<std::size_t>(_mm512_reduce_add_epi32(counts));
            continue;
        }
        for (std::size_t lane = 0; lane < kBlock; ++lane, done = 0) {
            const std::uint32_t begin = block.begin[lane], end = block.end[lane];
            for (std::uint32_t at = begin + done; at < end; at += 32) {
                if (n > kSiftRoom - 32) {
                    place = {i + lane, at - begin, seen};
                    return n;
                }
                const std::size_t passing = take(wanted, at, end - at, entries + n);
                ask(sieve.far, entries + n, passing);
                n += passing;
            }
            seen += end - begin;
        }
    }
    place = {std::min(i, sieve.count), 0, seen};
    return n;
}

DSAH_AVX512 std::size_t sift(const Sieve& sieve, Place& place, std::uint32_t* entries) {
    return sieve.one_line ? sift_short(sieve, place, entries) : sift_long(sieve, place, entries);
}

DSAH_AVX512 std::size_t weigh(const Sieve& sieve, const std::uint32_t* entries, std::size_t count,
                              std::uint32_t limit, Weighed* out) {
    Weighed* const first = out;
    const __m512i near_query = _mm512_set1_epi32(sieve.near_query);
    const __m512i far_query = _mm512_set1_epi32(static_cast<int>(sieve.far_query));
    const __m512i distance = _mm512_set1_epi32(static_cast<int>(sieve.distance));
    const __m512i lead = _mm512_set1_epi32(static_cast<int>(sieve.lead));
    const __m512i bound = _mm512_set1_epi32(static_cast<int>(limit));
    const __m512i zero = _mm512_setzero_si512();
    for (std::size_t i = 0; i < count; i += 16) {
        const std::size_t left = count - i;
        __mmask16 in = left < 16 ? static_cast<__mmask16>((1u << left) - 1) : 0xFFFF;
        const __m512i at = _mm512_maskz_loadu_epi32(in, entries + i);
        // A gather takes four bytes: of the rest, two belong to the next entry.
        const __m512i near = _mm512_and_si512(
            _mm512_mask_i32gather_epi32(zero, in, at, sieve.near, 2), _mm512_set1_epi32(0xFFFF));
        const __m512i half =
            _mm512_add_epi32(distance, _mm512_popcnt_epi32(_mm512_xor_si512(near, near_query)));
        __m512i total = half;
        if (sieve.far) {
            const __m512i far = _mm512_mask_i32gather_epi32(zero, in, at, sieve.far, 4);
            const __m512i other = _mm512_popcnt_epi32(_mm512_xor_si512(far, far_query));
            in = _mm512_mask_cmple_epu32_mask(in, _mm512_add_epi32(half, lead), other);
            total = _mm512_add_epi32(half, other);
        }
        in = _mm512_mask_cmple_epu32_mask(in, total, bound);
        if (in == 0) continue;
        alignas(64) std::uint32_t totals[16];
        _mm512_store_si512(totals, total);
        for (std::uint32_t mask = in; mask; mask &= mask - 1) {
            const int j = __builtin_ctz(mask);
            *out++ = {entries[i + static_cast<std::size_t>(j)], totals[j]};
        }
    }
    return static_cast<std::size_t>(out - first);
}

}  // namespace

const Sifter avx512_sifter = {sift, weigh};

}  // namespace dsah
#endif
