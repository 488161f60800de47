// One code at a time: readable, the reference for the vector kernels, and fast enough with POPCNT.
#include "kernel.hpp"

#if defined(__x86_64__)
#define DSAH_POPCNT __attribute__((target("popcnt")))
#else
#define DSAH_POPCNT
#endif

namespace dsah {
namespace {

/// Differing symbols become one set bit each; plain bits stay as they are.
template <int SymbolBits>
inline __attribute__((always_inline)) std::uint64_t fold(std::uint64_t x) {
    if (SymbolBits >= 8) x |= x >> 4;
    if (SymbolBits >= 4) x |= x >> 2;
    if (SymbolBits >= 2) x |= x >> 1;
    if (SymbolBits == 8) x &= 0x0101010101010101u;
    if (SymbolBits == 4) x &= 0x1111111111111111u;
    if (SymbolBits == 2) x &= 0x5555555555555555u;
    return x;
}

template <class Lane>
inline __attribute__((always_inline)) std::uint64_t load(const std::uint8_t* lanes, std::size_t i) {
    Lane value;
    std::memcpy(&value, lanes + i * sizeof(Lane), sizeof(Lane));
    return value;
}

template <int SymbolBits, class Lane>
inline __attribute__((always_inline)) void add_lane(const std::uint8_t* lanes, std::uint64_t query,
                                                    std::uint32_t* distance) {
    for (std::size_t i = 0; i < kBlockRows; ++i)
        distance[i] += static_cast<std::uint32_t>(
            __builtin_popcountll(fold<SymbolBits>(load<Lane>(lanes, i) ^ query)));
}

template <int SymbolBits, class Tail>
inline __attribute__((always_inline)) std::size_t collect(
    const Layout& layout, const std::uint8_t* codes, std::size_t begin, std::size_t end,
    const std::uint64_t* query, std::uint32_t limit, const std::uint64_t* eligible, Hit* out) {
    Hit* const first = out;
    std::uint32_t distance[kBlockRows];
    for (std::size_t row = begin; row < end; row += kBlockRows) {
        const std::uint8_t* lanes = codes + row / kBlockRows * layout.block_bytes();
        std::memset(distance, 0, sizeof distance);
        for (std::uint32_t w = 0; w < layout.words; ++w, lanes += kBlockRows * 8)
            add_lane<SymbolBits, std::uint64_t>(lanes, query[w], distance);
        if (sizeof(Tail) < 8) add_lane<SymbolBits, Tail>(lanes, query[layout.words], distance);
        const std::size_t rows = end - row < kBlockRows ? end - row : kBlockRows;
        const std::uint64_t mask = eligible ? eligible[row / kBlockRows] : ~std::uint64_t{0};
        for (std::size_t i = 0; i < rows; ++i)
            if (distance[i] <= limit && (mask >> i & 1))
                *out++ = {static_cast<std::uint32_t>(row + i), distance[i]};
    }
    return static_cast<std::size_t>(out - first);
}

/// Codes of exactly one 8-byte word: distances stay in registers, hits are rare.
template <int SymbolBits>
inline __attribute__((always_inline)) std::size_t collect_word(
    const Layout&, const std::uint8_t* codes, std::size_t begin, std::size_t end,
    const std::uint64_t* query, std::uint32_t limit, const std::uint64_t* eligible, Hit* out) {
    Hit* const first = out;
    const std::uint64_t q = query[0];
    for (std::size_t row = begin; row < end; ++row) {
        const auto d = static_cast<std::uint32_t>(
            __builtin_popcountll(fold<SymbolBits>(load<std::uint64_t>(codes, row) ^ q)));
        if (__builtin_expect(d <= limit, 0))
            if (!eligible || (eligible[row / kBlockRows] >> row % kBlockRows & 1))
                *out++ = {static_cast<std::uint32_t>(row), d};
    }
    return static_cast<std::size_t>(out - first);
}

#define DSAH_SCALAR(NAME, TARGET)                                                                 \
    template <int S, class Tail>                                                                  \
    TARGET std::size_t NAME(const Layout& a, const std::uint8_t* b, std::size_t c, std::size_t d, \
                            const std::uint64_t* e, std::uint32_t f, const std::uint64_t* g,      \
                            Hit* h) {                                                             \
        if (sizeof(Tail) == 8 && a.words == 1) return collect_word<S>(a, b, c, d, e, f, g, h);    \
        return collect<S, Tail>(a, b, c, d, e, f, g, h);                                          \
    }                                                                                             \
    template <int S>                                                                              \
    CollectFn NAME##_for(const Layout& layout) {                                                  \
        switch (layout.tail) {                                                                    \
            case 1:                                                                               \
                return NAME<S, std::uint8_t>;                                                     \
            case 2:                                                                               \
                return NAME<S, std::uint16_t>;                                                    \
            case 4:                                                                               \
                return NAME<S, std::uint32_t>;                                                    \
            default:                                                                              \
                return NAME<S, std::uint64_t>; /* no tail */                                      \
        }                                                                                         \
    }                                                                                             \
    CollectFn NAME##_any(const Layout& layout) {                                                  \
        switch (layout.symbol_bits) {                                                             \
            case 2:                                                                               \
                return NAME##_for<2>(layout);                                                     \
            case 4:                                                                               \
                return NAME##_for<4>(layout);                                                     \
            case 8:                                                                               \
                return NAME##_for<8>(layout);                                                     \
            default:                                                                              \
                return NAME##_for<1>(layout);                                                     \
        }                                                                                         \
    }

DSAH_SCALAR(plain, )
DSAH_SCALAR(counted, DSAH_POPCNT)

}  // namespace

CollectFn portable_collect(const Layout& layout) {
    return plain_any(layout);
}
CollectFn popcnt_collect(const Layout& layout) {
    return counted_any(layout);
}

}  // namespace dsah
