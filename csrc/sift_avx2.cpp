// AVX2: sixteen entries are sifted at a time, their bits counted by a table of nibbles.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>

#include "sift.hpp"

#define DSAH_AVX2 __attribute__((target("avx2")))

namespace dsah {
namespace {

/// Bits set in each 16-bit lane.
DSAH_AVX2 inline __attribute__((always_inline)) __m256i count16(__m256i x) {
    const __m256i low = _mm256_set1_epi8(0x0F);
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i a = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
    const __m256i b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_maddubs_epi16(_mm256_add_epi8(a, b), _mm256_set1_epi8(1));
}

DSAH_AVX2 std::size_t sift(const Sieve& sieve, Place& place, std::uint32_t* entries) {
    const __m256i query = _mm256_set1_epi16(static_cast<short>(sieve.near_query));
    const __m256i low = _mm256_set1_epi16(static_cast<short>(sieve.near_low));
    const __m256i over = _mm256_set1_epi16(static_cast<short>(sieve.near_high + 1));
    std::size_t n = 0;
    for (; place.bucket < sieve.count; ++place.bucket, place.done = 0) {
        if (place.bucket + sieve.ahead < sieve.count) sieve.fetch(place.bucket + sieve.ahead);
        const std::uint32_t bucket = sieve.bucket(place.bucket);
        const std::uint32_t begin = sieve.bounds.begin(bucket), end = sieve.bounds.end(bucket);
        for (std::uint32_t at = begin + place.done; at < end; at += 16) {
            const std::uint32_t left = end - at;
            if (n + std::min(left, 16u) > kSiftRoom) {
                place.done = at - begin;
                return n;
            }
            const auto* rests = reinterpret_cast<const __m256i*>(sieve.near + at);
            const __m256i d = count16(_mm256_xor_si256(_mm256_loadu_si256(rests), query));
            const __m256i in =
                _mm256_andnot_si256(_mm256_cmpgt_epi16(low, d), _mm256_cmpgt_epi16(over, d));
            // Two equal bits per entry: one is kept, so that each entry is met once.
            auto mask = static_cast<std::uint32_t>(_mm256_movemask_epi8(in)) & 0x55555555u;
            if (left < 16) mask &= (1u << 2 * left) - 1;
            for (; mask; mask &= mask - 1) {
                const std::uint32_t i = at + static_cast<std::uint32_t>(__builtin_ctz(mask)) / 2;
                if (sieve.far) __builtin_prefetch(sieve.far + i);
                entries[n++] = i;
            }
        }
        place.seen += end - begin;
    }
    return n;
}

/// The few that remain are weighed one by one.
std::size_t weigh(const Sieve& sieve, const std::uint32_t* entries, std::size_t count,
                  std::uint32_t limit, Weighed* out) {
    return popcnt_sifter.weigh(sieve, entries, count, limit, out);
}

}  // namespace

const Sifter avx2_sifter = {sift, weigh};

}  // namespace dsah
#endif
