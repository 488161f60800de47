// The innermost loops of a table look-up: which entries of some buckets are near enough.
//
// `sift` looks at the rest of the half that a bucket is part of, two bytes that lie side by side
// for all entries of a bucket; `weigh` reads the other half of the few codes that remain.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dsah {

/// Where the buckets of a table lie among its entries.
///
/// A bucket begins at a multiple of some power of two, and up to 31 places before the next one stay
/// free: its first place and how many are free share a word.
struct Bounds {
    static constexpr std::uint32_t kFreeBits = 5, kFree = (1 << kFreeBits) - 1;
    const std::uint32_t* words;  ///< of each bucket, and of the end of the last
    std::uint32_t unit;          ///< log2 of what first places are multiples of, 0 to 5

    std::uint32_t begin(std::uint32_t b) const { return words[b] >> kFreeBits << unit; }
    std::uint32_t end(std::uint32_t b) const { return begin(b + 1) - (words[b] & kFree); }
};

/// Buckets of one table that are all at one distance from a query, and what it asks of them.
struct Sieve {
    Bounds bounds;
    const std::uint16_t* near;   ///< of each entry, the rest of the half
    const std::uint32_t* far;    ///< the other half; null if there is none
    std::uint32_t own;           ///< the query's bucket
    const std::uint16_t* flips;  ///< the buckets are own ^ flips[i]
    std::size_t count;
    std::uint32_t distance;             ///< of the buckets
    std::uint32_t near_low, near_high;  ///< distances of the rest that count, low <= high
    std::uint32_t lead;  ///< the other half must be at least so much farther than this one
    std::uint16_t near_query;
    std::uint32_t far_query;
    std::uint32_t lines;  ///< of the cache, to fetch for a bucket besides its last one
    bool one_line;        ///< buckets are aligned, and most lie in one
    std::size_t ahead;    ///< buckets that are fetched while one is sifted

    std::uint32_t bucket(std::size_t i) const { return own ^ flips[i]; }
    /// Asks for the first lines and the last one of bucket i, and for the bounds of a later one.
    inline __attribute__((always_inline)) void fetch(std::size_t i) const {
        const std::uint32_t b = bucket(i);
        __builtin_prefetch(bounds.words + bucket(i + ahead < count ? i + ahead : i));
        const auto* begin = reinterpret_cast<const char*>(near + bounds.begin(b));
        for (std::uint32_t line = 0; line < lines; ++line) __builtin_prefetch(begin + 64 * line);
        __builtin_prefetch(reinterpret_cast<const char*>(near + bounds.end(b)) - 1);
    }
};

/// Where a sieve goes on: the next bucket, and how many of its entries are done.
struct Place {
    std::size_t bucket = 0;
    std::uint32_t done = 0;
    std::size_t seen = 0;  ///< entries of the buckets that are done
};

/// Entries that a call of `sift` writes at most.
constexpr std::size_t kSiftRoom = 1024;
/// Entries that a kernel may read, or places it may write, past the last.
constexpr std::size_t kSiftSlack = 32;

/// An entry and its code's distance.
struct Weighed {
    std::uint32_t entry, distance;
};

/// Writes the entries whose rest is at a distance that counts, until all buckets are done or
/// there is no room; returns how many. Asks for their other halves.
using SiftFn = std::size_t (*)(const Sieve& sieve, Place& place, std::uint32_t* entries);
/// Of these, writes those whose whole distance is within `limit`; returns how many.
using WeighFn = std::size_t (*)(const Sieve& sieve, const std::uint32_t* entries, std::size_t count,
                                std::uint32_t limit, Weighed* out);

struct Sifter {
    SiftFn sift;
    WeighFn weigh;
};

extern const Sifter portable_sifter, popcnt_sifter, avx2_sifter, avx512_sifter;

}  // namespace dsah
