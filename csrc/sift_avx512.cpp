// AVX-512 with BITALG and VPOPCNTDQ: thirty-two entries are sifted, sixteen weighed at a time.
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

#include "sift.hpp"

#define DSAH_AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vpopcntdq,avx512bitalg,popcnt,bmi2")))

namespace dsah {
namespace {

/// Writes those of 16 entries that pass; returns how many.
DSAH_AVX512 inline __attribute__((always_inline)) std::size_t put(std::uint32_t* out, __m512i first,
                                                                  std::uint32_t mask) {
    const auto in = static_cast<__mmask16>(mask);
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(in, first));
    return static_cast<std::size_t>(_mm_popcnt_u32(in));
}

DSAH_AVX512 std::size_t sift(const Sieve& sieve, Place& place, std::uint32_t* entries) {
    const __m512i query = _mm512_set1_epi16(static_cast<short>(sieve.near_query));
    const __m512i low = _mm512_set1_epi16(static_cast<short>(sieve.near_low));
    const __m512i span = _mm512_set1_epi16(static_cast<short>(sieve.near_high - sieve.near_low));
    const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i half = _mm512_set1_epi32(16);
    std::size_t n = 0, i = place.bucket, seen = place.seen;
    std::uint32_t done = place.done;
    for (; i < sieve.count; ++i, done = 0) {
        if (i + sieve.ahead < sieve.count) sieve.fetch(i + sieve.ahead);
        const std::uint32_t bucket = sieve.bucket(i);
        const std::uint32_t begin = sieve.starts[bucket], end = sieve.starts[bucket + 1];
        for (std::uint32_t at = begin + done; at < end; at += 32) {
            if (n > kSiftRoom - 32) {
                place = {i, at - begin, seen};
                return n;
            }
            const __m512i rests = _mm512_loadu_si512(sieve.near + at);
            const __m512i d = _mm512_popcnt_epi16(_mm512_xor_si512(rests, query));
            // Below `low` the difference wraps around and is beyond any span.
            std::uint32_t in = _mm512_cmple_epu16_mask(_mm512_sub_epi16(d, low), span);
            const std::uint32_t left = end - at;
            if (left < 32) in = _bzhi_u32(in, left);
            const __m512i first = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(at)), steps);
            n += put(entries + n, first, in);
            // Always both: there is no telling which buckets have so many entries.
            n += put(entries + n, _mm512_add_epi32(first, half), in >> 16);
        }
        seen += end - begin;
    }
    place = {i, 0, seen};
    return n;
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
