// One entry at a time: the reference for the vector kernels.
#include <algorithm>

#include "sift.hpp"

#if defined(__x86_64__)
#define DSAH_POPCNT __attribute__((target("popcnt")))
#else
#define DSAH_POPCNT
#endif
#define DSAH_INLINE inline __attribute__((always_inline))

namespace dsah {
namespace {

DSAH_INLINE std::uint32_t ones(std::uint32_t x) {
    return static_cast<std::uint32_t>(__builtin_popcount(x));
}

DSAH_INLINE std::size_t sift(const Sieve& sieve, Place& place, std::uint32_t* entries) {
    const std::uint32_t span = sieve.near_high - sieve.near_low;
    std::size_t n = 0;
    for (; place.bucket < sieve.count; ++place.bucket, place.done = 0) {
        if (place.bucket + sieve.ahead < sieve.count) sieve.fetch(place.bucket + sieve.ahead);
        const std::uint32_t bucket = sieve.bucket(place.bucket);
        const std::uint32_t begin = sieve.bounds.begin(bucket), end = sieve.bounds.end(bucket);
        for (std::uint32_t i = begin + place.done; i < end; ++i) {
            // Below `near_low` the difference wraps around and is beyond any span.
            if (ones(sieve.near[i] ^ sieve.near_query) - sieve.near_low > span) continue;
            if (n == kSiftRoom) {
                place.done = i - begin;
                return n;
            }
            if (sieve.far) __builtin_prefetch(sieve.far + i);
            entries[n++] = i;
        }
        place.seen += end - begin;
    }
    return n;
}

DSAH_INLINE std::size_t weigh(const Sieve& sieve, const std::uint32_t* entries, std::size_t count,
                              std::uint32_t limit, Weighed* out) {
    Weighed* const first = out;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t at = entries[i];
        const std::uint32_t half = sieve.distance + ones(sieve.near[at] ^ sieve.near_query);
        std::uint32_t other = 0;
        if (sieve.far) {
            other = ones(sieve.far[at] ^ sieve.far_query);
            if (other < half + sieve.lead) continue;
        }
        if (half + other <= limit) *out++ = {at, half + other};
    }
    return static_cast<std::size_t>(out - first);
}

#define DSAH_SCALAR(NAME, TARGET)                                                          \
    TARGET std::size_t NAME##_sift(const Sieve& a, Place& b, std::uint32_t* c) {           \
        return sift(a, b, c);                                                              \
    }                                                                                      \
    TARGET std::size_t NAME##_weigh(const Sieve& a, const std::uint32_t* b, std::size_t c, \
                                    std::uint32_t d, Weighed* e) {                         \
        return weigh(a, b, c, d, e);                                                       \
    }

DSAH_SCALAR(plain, )
DSAH_SCALAR(counted, DSAH_POPCNT)

}  // namespace

const Sifter portable_sifter = {plain_sift, plain_weigh};
const Sifter popcnt_sifter = {counted_sift, counted_weigh};

}  // namespace dsah
