// AVX-512 with VPOPCNTDQ and BITALG: one instruction counts a whole register of lanes.
//
// A block of 64 rows is counted into registers, the smallest distance of the block is compared
// with the limit once, and only a block that holds a hit pays for finding it.
#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own AVX-512 header trips over its "undefined" registers (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "kernel.hpp"

#define DSAH_AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vpopcntdq,avx512bitalg,popcnt,bmi2")))
#define DSAH_INLINE DSAH_AVX512 inline __attribute__((always_inline))

namespace dsah {
namespace {

template <int SymbolBits>
DSAH_INLINE __m512i fold(__m512i x) {
    // 0xA8 is (a | b) & c: the last step joins the halves and masks in one instruction.
    if (SymbolBits == 8) x = _mm512_or_si512(x, _mm512_srli_epi64(x, 4));
    if (SymbolBits >= 4) x = _mm512_or_si512(x, _mm512_srli_epi64(x, 2));
    const std::int64_t keep = SymbolBits == 8   ? 0x0101010101010101
                              : SymbolBits == 4 ? 0x1111111111111111
                                                : 0x5555555555555555;
    if (SymbolBits >= 2)
        x = _mm512_ternarylogic_epi64(x, _mm512_srli_epi64(x, 1), _mm512_set1_epi64(keep), 0xA8);
    return x;
}

template <int SymbolBits>
DSAH_INLINE __m512i count64(__m512i lanes, __m512i query) {
    return _mm512_popcnt_epi64(fold<SymbolBits>(_mm512_xor_si512(lanes, query)));
}

DSAH_INLINE __m512i load_tail(const std::uint8_t* p, std::uint32_t width) {
    if (width == 1)
        return _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    if (width == 2)
        return _mm512_cvtepu16_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

DSAH_INLINE std::uint64_t rows_mask(std::size_t row, std::size_t end,
                                    const std::uint64_t* eligible) {
    const std::size_t left = end - row;
    std::uint64_t mask = left >= kBlockRows ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
    return eligible ? mask & eligible[row / kBlockRows] : mask;
}

/// Hits of eight rows whose distances are in `d`; a hit is written as row | distance << 32.
DSAH_INLINE Hit* emit8(__m512i d, std::size_t row, __mmask8 mask, Hit* out) {
    const __m512i rows = _mm512_add_epi64(_mm512_set1_epi64(static_cast<long long>(row)),
                                          _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    const __m512i hits = _mm512_or_si512(rows, _mm512_slli_epi64(d, 32));
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi64(mask, hits));
    return out + __builtin_popcount(mask);
}

/// Codes with at least one 8-byte word: eight rows per register, words added up lane by lane.
template <int SymbolBits, bool OneWord>
DSAH_AVX512 std::size_t collect_words(const Layout& layout, const std::uint8_t* codes,
                                      std::size_t begin, std::size_t end,
                                      const std::uint64_t* query, std::uint32_t limit,
                                      const std::uint64_t* eligible, Hit* out) {
    Hit* const first = out;
    const __m512i bound = _mm512_set1_epi64(limit);
    const __m512i q0 = _mm512_set1_epi64(static_cast<long long>(query[0]));
    const std::size_t block_bytes = OneWord ? kBlockRows * 8 : layout.block_bytes();
    // A short rest, as most buckets of a table are, is not worth a whole block.
    const std::size_t whole =
        OneWord && !eligible ? begin + (end - begin) / kBlockRows * kBlockRows : end;
    for (std::size_t row = begin; row < whole; row += kBlockRows) {
        const std::uint8_t* lanes = codes + row / kBlockRows * block_bytes;
        __m512i d[8];
        for (int g = 0; g < 8; ++g)
            d[g] = count64<SymbolBits>(_mm512_loadu_si512(lanes + 64 * g), q0);
        if (!OneWord) {
            for (std::uint32_t w = 1; w < layout.words; ++w) {
                lanes += kBlockRows * 8;
                const __m512i q = _mm512_set1_epi64(static_cast<long long>(query[w]));
                for (int g = 0; g < 8; ++g)
                    d[g] = _mm512_add_epi64(
                        d[g], count64<SymbolBits>(_mm512_loadu_si512(lanes + 64 * g), q));
            }
            if (layout.tail) {
                lanes += kBlockRows * 8;
                const __m512i q = _mm512_set1_epi64(static_cast<long long>(query[layout.words]));
                for (int g = 0; g < 8; ++g)
                    d[g] = _mm512_add_epi64(
                        d[g], count64<SymbolBits>(
                                  load_tail(lanes + 8 * g * layout.tail, layout.tail), q));
            }
        }
        const __m512i low = _mm512_min_epu32(
            _mm512_min_epu32(_mm512_min_epu32(d[0], d[1]), _mm512_min_epu32(d[2], d[3])),
            _mm512_min_epu32(_mm512_min_epu32(d[4], d[5]), _mm512_min_epu32(d[6], d[7])));
        if (__builtin_expect(_mm512_cmple_epu64_mask(low, bound) == 0, 1)) continue;
        // Usually one row of the 64 is a hit: collect all masks first, so that no branch has to
        // guess in which register it is.
        std::uint64_t close = 0;
        alignas(64) std::uint64_t distance[kBlockRows];
        for (int g = 0; g < 8; ++g) {
            close |= std::uint64_t{_mm512_cmple_epu64_mask(d[g], bound)} << (8 * g);
            _mm512_store_si512(distance + 8 * g, d[g]);
        }
        for (close &= rows_mask(row, end, eligible); close; close &= close - 1) {
            const int i = __builtin_ctzll(close);
            *out++ = {static_cast<std::uint32_t>(row) + static_cast<std::uint32_t>(i),
                      static_cast<std::uint32_t>(distance[i])};
        }
    }
    for (std::size_t row = whole; row < end; row += 8) {
        const __m512i d = count64<SymbolBits>(_mm512_loadu_si512(codes + row * 8), q0);
        auto mask = _mm512_cmple_epu64_mask(d, bound);
        if (end - row < 8) mask &= static_cast<__mmask8>((1u << (end - row)) - 1);
        if (mask) out = emit8(d, row, mask, out);
    }
    return static_cast<std::size_t>(out - first);
}

template <class Lane>
struct Narrow;
template <>
struct Narrow<std::uint32_t> {
    static DSAH_INLINE __m512i set(std::uint64_t q) {
        return _mm512_set1_epi32(static_cast<int>(q));
    }
    static DSAH_INLINE __m512i count(__m512i x) { return _mm512_popcnt_epi32(x); }
    static DSAH_INLINE std::uint64_t close(__m512i d, __m512i bound) {
        return _mm512_cmple_epu32_mask(d, bound);
    }
};
template <>
struct Narrow<std::uint16_t> {
    static DSAH_INLINE __m512i set(std::uint64_t q) {
        return _mm512_set1_epi16(static_cast<short>(q));
    }
    static DSAH_INLINE __m512i count(__m512i x) { return _mm512_popcnt_epi16(x); }
    static DSAH_INLINE std::uint64_t close(__m512i d, __m512i bound) {
        return _mm512_cmple_epu16_mask(d, bound);
    }
};
template <>
struct Narrow<std::uint8_t> {
    static DSAH_INLINE __m512i set(std::uint64_t q) {
        return _mm512_set1_epi8(static_cast<char>(q));
    }
    static DSAH_INLINE __m512i count(__m512i x) { return _mm512_popcnt_epi8(x); }
    static DSAH_INLINE std::uint64_t close(__m512i d, __m512i bound) {
        return _mm512_cmple_epu8_mask(d, bound);
    }
};

/// Codes of at most four bytes: one narrow lane, 16, 32 or 64 rows per register.
template <int SymbolBits, class Lane>
DSAH_AVX512 std::size_t collect_narrow(const Layout&, const std::uint8_t* codes, std::size_t begin,
                                       std::size_t end, const std::uint64_t* query,
                                       std::uint32_t limit, const std::uint64_t* eligible,
                                       Hit* out) {
    using Ops = Narrow<Lane>;
    constexpr int kRegisters = sizeof(Lane);  // of 64 bytes in a block of 64 rows
    constexpr int kRows = 64 / sizeof(Lane);
    Hit* const first = out;
    const __m512i q = Ops::set(query[0]);
    const std::uint32_t width = 8 * sizeof(Lane);
    const __m512i bound = Ops::set(limit < width ? limit : width);
    for (std::size_t row = begin; row < end; row += kBlockRows) {
        const std::uint8_t* lanes = codes + row * sizeof(Lane);
        __m512i d[kRegisters];
        std::uint64_t close = 0;
        for (int g = 0; g < kRegisters; ++g) {
            d[g] = Ops::count(
                fold<SymbolBits>(_mm512_xor_si512(_mm512_loadu_si512(lanes + 64 * g), q)));
            close |= Ops::close(d[g], bound) << (g * kRows % 64);
        }
        if (__builtin_expect(close == 0, 1)) continue;
        close &= rows_mask(row, end, eligible);
        alignas(64) Lane distance[kBlockRows];
        for (int g = 0; g < kRegisters; ++g) _mm512_store_si512(distance + g * kRows, d[g]);
        for (; close; close &= close - 1) {
            const int i = __builtin_ctzll(close);
            *out++ = {static_cast<std::uint32_t>(row) + static_cast<std::uint32_t>(i), distance[i]};
        }
    }
    return static_cast<std::size_t>(out - first);
}

template <int SymbolBits>
CollectFn pick(const Layout& layout) {
    if (layout.words == 1 && !layout.tail) return collect_words<SymbolBits, true>;
    if (layout.words) return collect_words<SymbolBits, false>;
    if (layout.tail == 4) return collect_narrow<SymbolBits, std::uint32_t>;
    if (layout.tail == 2) return collect_narrow<SymbolBits, std::uint16_t>;
    return collect_narrow<SymbolBits, std::uint8_t>;
}

}  // namespace

CollectFn avx512_collect(const Layout& layout) {
    switch (layout.symbol_bits) {
        case 2:
            return pick<2>(layout);
        case 4:
            return pick<4>(layout);
        case 8:
            return pick<8>(layout);
        default:
            return pick<1>(layout);
    }
}

}  // namespace dsah
#endif
