// AMX: sixteen rows times sixteen queries in one instruction, 16384 products of bytes.
//
// Two tiles hold 32 queries; rows pass by as bytes 0 and -1, sixteen at a time. A product starts
// from |q| - limit - 1, so a sign bit marks a hit, and one OR over all results tells which queries
// of a tile have any. Tiles are computed, stored and looked at in overlapping steps, because the
// result of a product takes some fifty cycles to arrive; for the same reason no branch depends on
// it. Queries with a hit are only noted, and their distances to the sixteen rows counted later.
#if defined(__x86_64__) && defined(__linux__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "kernel.hpp"

#define DSAH_AMX           \
    __attribute__((target( \
        "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt,gfni,amx-tile,amx-int8")))
#define DSAH_AMX_INLINE DSAH_AMX inline __attribute__((always_inline))

namespace dsah {
namespace {

constexpr std::size_t kTile = QueryMatrix::kTile, kRows = 2 * kTile;
constexpr std::size_t kPartRows = 512;  // whose bytes stay in the first-level cache
constexpr std::size_t kLaneBytes = kRows * 64;
constexpr std::size_t kTileNumbers = kTile * kTile;  // 32-bit results of one product

struct __attribute__((packed)) TileShapes {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
};

/// Tiles are state of the thread that every context switch would save: held only while in use.
class Tiles {
  public:
    DSAH_AMX Tiles() {
        TileShapes shapes;
        for (int t = 0; t < 8; ++t) {
            shapes.row_bytes[t] = 64;
            shapes.rows[t] = kTile;
        }
        // GCC's tile instructions do not say that they read more than a word of memory.
        asm volatile("" ::"r"(&shapes) : "memory");
        _tile_loadconfig(&shapes);
    }
    DSAH_AMX ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
};

template <class Lane>
DSAH_AMX_INLINE void spread_lane(const std::uint8_t* from, std::uint8_t* bytes) {
    // A product of bit matrices: all eight rows of matrix j ask for bit j, so the eight bytes of
    // 64-bit lane j become bit j of the eight bytes of the code, as 0 or -1.
    const __m512i choose = _mm512_setr_epi64(
        0x0101010101010101, 0x0202020202020202, 0x0404040404040404, 0x0808080808080808,
        0x1010101010101010, 0x2020202020202020, 0x4040404040404040, -0x7f7f7f7f7f7f7f80);
    for (std::size_t r = 0; r < kRows; ++r) {
        Lane bits;
        std::memcpy(&bits, from + r * sizeof(Lane), sizeof(Lane));
        const __m512i eight = _mm512_set1_epi64(static_cast<long long>(std::uint64_t{bits}));
        _mm512_store_si512(bytes + 64 * r, _mm512_gf2p8affine_epi64_epi8(eight, choose, 0));
    }
}

/// Bits of 32 rows as bytes 0 and -1: for each lane 32 rows of 64 bytes.
DSAH_AMX_INLINE void spread_rows(const Layout& layout, const std::uint8_t* codes, std::size_t row,
                                 std::uint8_t* bytes) {
    std::uint32_t lane = 0;
    for (; lane < layout.words; ++lane, bytes += kLaneBytes)
        spread_lane<std::uint64_t>(layout.at(codes, row, lane), bytes);
    if (layout.tail == 4) spread_lane<std::uint32_t>(layout.at(codes, row, lane), bytes);
    if (layout.tail == 2) spread_lane<std::uint16_t>(layout.at(codes, row, lane), bytes);
    if (layout.tail == 1) spread_lane<std::uint8_t>(layout.at(codes, row, lane), bytes);
    asm volatile("" ::: "memory");  // as for the shapes: tile loads read all of these bytes
}

/// Has the sign bit of each query with a hit.
DSAH_AMX_INLINE __m512i signs(const std::int32_t* results) {
    __m512i either = _mm512_load_si512(results), other = _mm512_load_si512(results + kTile);
    for (std::size_t r = 2; r + 3 < kTile; r += 4) {
        const std::int32_t* at = results + r * kTile;
        either = _mm512_ternarylogic_epi32(either, _mm512_load_si512(at),
                                           _mm512_load_si512(at + kTile), 0xFE);
        other = _mm512_ternarylogic_epi32(other, _mm512_load_si512(at + 2 * kTile),
                                          _mm512_load_si512(at + 3 * kTile), 0xFE);
    }
    const std::int32_t* last = results + (kTile - 2) * kTile;
    return _mm512_or_si512(either,
                           _mm512_ternarylogic_epi32(other, _mm512_load_si512(last),
                                                     _mm512_load_si512(last + kTile), 0xFE));
}

/// The queries of two tiles that have a hit among 16 rows, one bit each.
DSAH_AMX_INLINE std::uint32_t columns(const std::int32_t* results) {
    return std::uint32_t{_mm512_movepi32_mask(signs(results))} |
           std::uint32_t{_mm512_movepi32_mask(signs(results + kTileNumbers))} << kTile;
}

/// Distances of rows [row, row + 16) to a query.
DSAH_AMX_INLINE __m512i distances(const Layout& layout, const std::uint8_t* codes, std::size_t row,
                                  const std::uint64_t* query) {
    __m512i low = _mm512_setzero_si512(), high = low;
    const auto count = [&](__m512i first, __m512i second, std::uint64_t lane) DSAH_AMX {
        const __m512i all = _mm512_set1_epi64(static_cast<long long>(lane));
        low = _mm512_add_epi64(low, _mm512_popcnt_epi64(_mm512_xor_si512(first, all)));
        high = _mm512_add_epi64(high, _mm512_popcnt_epi64(_mm512_xor_si512(second, all)));
    };
    std::uint32_t lane = 0;
    for (; lane < layout.words; ++lane) {
        const std::uint8_t* at = layout.at(codes, row, lane);
        count(_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64), query[lane]);
    }
    if (layout.tail) {
        const std::uint8_t* at = layout.at(codes, row, lane);
        const auto half = [&](std::size_t first) DSAH_AMX {
            const std::uint8_t* from = at + first * layout.tail;
            if (layout.tail == 4)
                return _mm512_cvtepu32_epi64(
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
            if (layout.tail == 2)
                return _mm512_cvtepu16_epi64(
                    _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
            return _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
        };
        count(half(0), half(8), query[lane]);
    }
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(low)),
                              _mm512_cvtepi64_epi32(high), 1);
}

/// Writes the hits of a pair of tiles among some rows.
struct Finder {
    const Layout& layout;
    const std::uint8_t* codes;
    const QueryMatrix& queries;
    const std::uint64_t* eligible;

    /// `noted` holds `columns` of each 16 rows from `begin` on; rows from `end` on do not count.
    DSAH_AMX BatchHit* find(const std::uint32_t* noted, std::size_t begin, std::size_t end,
                            std::size_t pair, BatchHit* out) const {
        const std::size_t steps = (end - begin + kTile - 1) / kTile;
        for (std::size_t i = 0; i < steps; i += kTile) {
            const __m512i some = _mm512_load_si512(noted + i);
            std::uint32_t marked = _mm512_test_epi32_mask(some, some);
            if (steps - i < kTile) marked &= (1u << (steps - i)) - 1;  // what follows is old
            for (; marked; marked &= marked - 1) {
                const std::size_t step = i + static_cast<std::size_t>(__builtin_ctz(marked));
                out = among(noted[step], begin + step * kTile, end, pair, out);
            }
        }
        return out;
    }

  private:
    /// Hits of the queries in `columns` among 16 rows.
    DSAH_AMX_INLINE BatchHit* among(std::uint32_t columns, std::size_t row, std::size_t end,
                                    std::size_t pair, BatchHit* out) const {
        std::uint32_t wanted = end - row < kTile ? (1u << (end - row)) - 1 : 0xFFFF;
        if (eligible) wanted &= static_cast<std::uint32_t>(eligible[row / 64] >> row % 64);
        for (; columns; columns &= columns - 1) {
            const auto query = static_cast<std::uint32_t>(2 * kTile * pair) +
                               static_cast<std::uint32_t>(__builtin_ctz(columns));
            const __m512i near = distances(layout, codes, row, queries.code(query));
            alignas(64) std::uint32_t distance[kTile];
            _mm512_store_si512(distance, near);
            std::uint32_t rows =
                wanted & _mm512_cmplt_epi32_mask(near, _mm512_set1_epi32(queries.reach()[query]));
            for (; rows; rows &= rows - 1) {
                const auto r = static_cast<std::uint32_t>(__builtin_ctz(rows));
                *out++ = {query, static_cast<std::uint32_t>(row) + r, distance[r]};
            }
        }
        return out;
    }
};

// Tile registers must be literals, hence macros. 6 and 7 hold 16 queries each. Steps of 16 rows
// take turns: even ones use 4 for the rows and 0 and 1 for the products, odd ones 5, 2 and 3.
// Loading a start with a stride of 0 repeats it in every row.
#define DSAH_START(FIRST, SECOND) \
    _tile_loadd(FIRST, start, 0); \
    _tile_loadd(SECOND, start + kTile, 0)
#define DSAH_STORE(FIRST, SECOND, RESULTS) \
    _tile_stored(FIRST, RESULTS, 64);      \
    _tile_stored(SECOND, (RESULTS) + kTileNumbers, 64)

/// One lane: a product is one instruction; what the step before left is stored while it runs, and
/// looked at a step later. The order was found by trial: the unit does not rename its registers.
DSAH_AMX void one_lane(const std::uint8_t* bytes, std::size_t begin, std::size_t end,
                       const QueryMatrix& queries, std::size_t pair, std::uint32_t* noted) {
    alignas(64) std::int32_t even[2 * kTileNumbers], odd[2 * kTileNumbers];
    const std::int32_t* start = queries.start(2 * pair);
    _tile_loadd(6, queries.tile(2 * pair, 0), 64);
    _tile_loadd(7, queries.tile(2 * pair + 1, 0), 64);
    for (std::size_t row = begin; row < end; row += kRows, bytes += kLaneBytes) {
        _tile_loadd(4, bytes, 64);
        _tile_loadd(0, start, 0);
        _tile_dpbssd(0, 4, 6);
        _tile_stored(2, odd, 64);
        _tile_loadd(1, start + kTile, 0);
        _tile_dpbssd(1, 4, 7);
        _tile_stored(3, odd + kTileNumbers, 64);
        if (row != begin) *noted++ = columns(even);
        _tile_loadd(5, bytes + kTile * 64, 64);
        _tile_loadd(2, start, 0);
        _tile_dpbssd(2, 5, 6);
        _tile_stored(0, even, 64);
        _tile_loadd(3, start + kTile, 0);
        _tile_dpbssd(3, 5, 7);
        _tile_stored(1, even + kTileNumbers, 64);
        if (row != begin) *noted++ = columns(odd);
    }
    DSAH_STORE(2, 3, odd);
    *noted++ = columns(even);
    *noted++ = columns(odd);
}

/// Several lanes: four chains of products at once hide how long each takes.
DSAH_AMX void many_lanes(const std::uint8_t* bytes, std::size_t begin, std::size_t end,
                         const QueryMatrix& queries, std::size_t pair, std::uint32_t* noted) {
    alignas(64) std::int32_t even[2 * kTileNumbers], odd[2 * kTileNumbers];
    const std::int32_t* start = queries.start(2 * pair);
    const std::uint8_t *first = queries.tile(2 * pair, 0), *second = queries.tile(2 * pair + 1, 0);
    for (std::size_t row = begin; row < end; row += kRows) {
        DSAH_START(0, 1);
        DSAH_START(2, 3);
        for (std::size_t lane = 0; lane < queries.lanes(); ++lane, bytes += kLaneBytes) {
            _tile_loadd(4, bytes, 64);
            _tile_loadd(5, bytes + kTile * 64, 64);
            _tile_loadd(6, first + lane * QueryMatrix::kTileBytes, 64);
            _tile_loadd(7, second + lane * QueryMatrix::kTileBytes, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(1, 4, 7);
            _tile_dpbssd(2, 5, 6);
            _tile_dpbssd(3, 5, 7);
        }
        DSAH_STORE(0, 1, even);
        DSAH_STORE(2, 3, odd);
        *noted++ = columns(even);
        *noted++ = columns(odd);
    }
}

template <bool OneLane>
DSAH_AMX std::size_t multiply(const Layout& layout, const std::uint8_t* codes, std::size_t begin,
                              std::size_t end, const QueryMatrix& queries,
                              const std::uint64_t* eligible, BatchHit* out) {
    const Tiles tiles;
    const BatchHit* const first = out;
    const std::size_t lanes = OneLane ? 1 : queries.lanes();
    alignas(64) std::uint8_t bytes[(OneLane ? kPartRows : kRows * kMaxLanes) * 64];
    // Long codes: fewer rows at a time, so that their bytes stay in the cache.
    const std::size_t part = kRows * std::max<std::size_t>(1, kPartRows / kRows / lanes);
    alignas(64) std::uint32_t noted[kPartRows / kTile] = {};
    const Finder finder{layout, codes, queries, eligible};
    for (; begin < end; begin += part) {
        const std::size_t stop = std::min(end, begin + part);
        for (std::size_t row = begin; row < stop; row += kRows)
            spread_rows(layout, codes, row, bytes + (row - begin) / kRows * lanes * kLaneBytes);
        for (std::size_t pair = 0; pair < queries.pairs(); ++pair) {
            (OneLane ? one_lane : many_lanes)(bytes, begin, stop, queries, pair, noted);
            out = finder.find(noted, begin, stop, pair, out);
        }
    }
    return static_cast<std::size_t>(out - first);
}

}  // namespace

bool amx_permitted() {
    // Linux lets a process use tiles once it has asked (ARCH_REQ_XCOMP_PERM, XTILEDATA); it
    // refuses where a thread's signal stack is too small to hold them.
    static const bool permitted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    return permitted;
}

BatchFn amx_batch(const Layout& layout) {
    // Symbols are not counted bit by bit; of codes of one or two bytes a register holds so many
    // that counting is as fast.
    if (layout.symbol_bits != 1 || layout.stride < 4) return nullptr;
    return layout.flat() ? multiply<true> : multiply<false>;
}

}  // namespace dsah
#endif
