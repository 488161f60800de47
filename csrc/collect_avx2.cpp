// AVX2: bits are counted by a table of sixteen nibbles (PSHUFB), then added up per lane.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernel.hpp"

#define DSAH_AVX2 __attribute__((target("avx2,popcnt")))
#define DSAH_INLINE DSAH_AVX2 inline __attribute__((always_inline))

namespace dsah {
namespace {

/// Number of differing symbols in each byte, from the xor of two codes.
template <int SymbolBits>
DSAH_INLINE __m256i count8(__m256i x) {
    const __m256i low = _mm256_set1_epi8(0x0F);
    // The table already folds symbols of up to four bits: it counts non-zero groups of a nibble.
    const __m256i table =
        SymbolBits == 1 ? _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4)
        : SymbolBits == 2 ? _mm256_setr_epi8(0, 1, 1, 1, 1, 2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2, 0, 1,
                                             1, 1, 1, 2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2)
                          : _mm256_setr_epi8(0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1,
                                             1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
    if (SymbolBits == 8)
        return _mm256_add_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256()), _mm256_set1_epi8(1));
    const __m256i a = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
    const __m256i b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_add_epi8(a, b);
}

DSAH_INLINE __m256i load256(const std::uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

/// Four rows of 8-byte lanes: differing symbols of each, as 64-bit integers.
template <int SymbolBits>
DSAH_INLINE __m256i count64(__m256i lanes, __m256i query) {
    return _mm256_sad_epu8(count8<SymbolBits>(_mm256_xor_si256(lanes, query)),
                           _mm256_setzero_si256());
}

DSAH_INLINE __m256i load_tail(const std::uint8_t* p, std::uint32_t width) {
    if (width == 1) {
        std::int32_t four;
        std::memcpy(&four, p, 4);
        return _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
    }
    if (width == 2)
        return _mm256_cvtepu16_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// Codes with at least one 8-byte word, sixteen rows (four registers) at a time.
template <int SymbolBits, bool OneWord>
DSAH_AVX2 std::size_t collect_words(const Layout& layout, const std::uint8_t* codes,
                                    std::size_t begin, std::size_t end, const std::uint64_t* query,
                                    std::uint32_t limit, const std::uint64_t* eligible, Hit* out) {
    Hit* const first = out;
    const __m256i over = _mm256_set1_epi32(static_cast<int>(limit) + 1);
    const __m256i q0 = _mm256_set1_epi64x(static_cast<long long>(query[0]));
    const std::size_t block_bytes = OneWord ? kBlockRows * 8 : layout.block_bytes();
    for (std::size_t row = begin; row < end; row += 16) {
        const std::size_t in_block = row % kBlockRows;
        const std::uint8_t* block = codes + row / kBlockRows * block_bytes;
        const std::uint8_t* lanes = block + in_block * 8;
        __m256i d[4];
        for (int g = 0; g < 4; ++g) d[g] = count64<SymbolBits>(load256(lanes + 32 * g), q0);
        if (!OneWord) {
            for (std::uint32_t w = 1; w < layout.words; ++w) {
                lanes += kBlockRows * 8;
                const __m256i q = _mm256_set1_epi64x(static_cast<long long>(query[w]));
                for (int g = 0; g < 4; ++g)
                    d[g] = _mm256_add_epi64(d[g], count64<SymbolBits>(load256(lanes + 32 * g), q));
            }
            if (layout.tail) {
                lanes = block + layout.words * kBlockRows * 8 + in_block * layout.tail;
                const __m256i q = _mm256_set1_epi64x(static_cast<long long>(query[layout.words]));
                for (int g = 0; g < 4; ++g)
                    d[g] = _mm256_add_epi64(
                        d[g], count64<SymbolBits>(
                                  load_tail(lanes + 4 * g * layout.tail, layout.tail), q));
            }
        }
        // Distances are below 2^31, so the lower halves decide; the upper halves are zero and
        // would always be "close", hence the shift that drops them.
        const __m256i low =
            _mm256_min_epu32(_mm256_min_epu32(d[0], d[1]), _mm256_min_epu32(d[2], d[3]));
        const __m256i near = _mm256_slli_epi64(_mm256_cmpgt_epi32(over, low), 32);
        if (__builtin_expect(_mm256_testz_si256(near, near), 1)) continue;
        alignas(32) std::uint64_t distance[16];
        for (int g = 0; g < 4; ++g)
            _mm256_store_si256(reinterpret_cast<__m256i*>(distance + 4 * g), d[g]);
        const std::uint64_t mask =
            eligible ? eligible[row / kBlockRows] >> in_block : ~std::uint64_t{0};
        const std::size_t rows = end - row < 16 ? end - row : 16;
        for (std::size_t i = 0; i < rows; ++i)
            if (distance[i] <= limit && (mask >> i & 1))
                *out++ = {static_cast<std::uint32_t>(row + i),
                          static_cast<std::uint32_t>(distance[i])};
    }
    return static_cast<std::size_t>(out - first);
}

template <class Lane>
DSAH_INLINE __m256i widen(__m256i bytes) {
    if (sizeof(Lane) == 1) return bytes;
    const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
    return sizeof(Lane) == 2 ? pairs : _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

template <class Lane>
DSAH_INLINE __m256i set_lane(std::uint64_t value) {
    if (sizeof(Lane) == 1) return _mm256_set1_epi8(static_cast<char>(value));
    if (sizeof(Lane) == 2) return _mm256_set1_epi16(static_cast<short>(value));
    return _mm256_set1_epi32(static_cast<int>(value));
}

template <class Lane>
DSAH_INLINE __m256i greater(__m256i a, __m256i b) {
    if (sizeof(Lane) == 1) return _mm256_cmpgt_epi8(a, b);
    if (sizeof(Lane) == 2) return _mm256_cmpgt_epi16(a, b);
    return _mm256_cmpgt_epi32(a, b);
}

/// Codes of at most four bytes: one narrow lane, 8, 16 or 32 rows per register.
template <int SymbolBits, class Lane>
DSAH_AVX2 std::size_t collect_narrow(const Layout&, const std::uint8_t* codes, std::size_t begin,
                                     std::size_t end, const std::uint64_t* query,
                                     std::uint32_t limit, const std::uint64_t* eligible, Hit* out) {
    constexpr std::size_t kRows = 32 / sizeof(Lane);
    Hit* const first = out;
    const __m256i q = set_lane<Lane>(query[0]);
    const std::uint32_t width = 8 * sizeof(Lane);
    const __m256i over = set_lane<Lane>((limit < width ? limit : width) + 1);
    for (std::size_t row = begin; row < end; row += kRows) {
        const __m256i d = widen<Lane>(
            count8<SymbolBits>(_mm256_xor_si256(load256(codes + row * sizeof(Lane)), q)));
        const __m256i near = greater<Lane>(over, d);
        if (__builtin_expect(_mm256_testz_si256(near, near), 1)) continue;
        alignas(32) Lane distance[kRows];
        _mm256_store_si256(reinterpret_cast<__m256i*>(distance), d);
        const std::uint64_t mask =
            eligible ? eligible[row / kBlockRows] >> row % kBlockRows : ~std::uint64_t{0};
        const std::size_t rows = end - row < kRows ? end - row : kRows;
        for (std::size_t i = 0; i < rows; ++i)
            if (distance[i] <= limit && (mask >> i & 1))
                *out++ = {static_cast<std::uint32_t>(row + i), distance[i]};
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

CollectFn avx2_collect(const Layout& layout) {
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
