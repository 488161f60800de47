#include "batch.hpp"

#include <algorithm>
#include <limits>

namespace dsah {

QueryMatrix::QueryMatrix(const Layout& layout, const std::uint64_t* lanes, std::size_t count)
    : codes_(lanes),
      lanes_(layout.lanes()),
      tiles_((count + 2 * kTile - 1) / (2 * kTile) * 2),
      lines_(tiles_ * lanes_ * kTileBytes / sizeof(Line)),
      numbers_(3 * tiles_ * kTile * sizeof(std::int32_t) / sizeof(Line)) {
    const std::size_t columns = tiles_ * kTile;
    ones_ = reinterpret_cast<std::int32_t*>(numbers_.data());
    start_ = ones_ + columns;
    reach_ = start_ + columns;
    // A column without a query never goes below zero, whatever the codes.
    std::fill(start_, start_ + columns, std::numeric_limits<std::int32_t>::max() / 2);
    for (std::size_t q = 0; q < count; ++q) {
        for (std::size_t lane = 0; lane < lanes_; ++lane) {
            const std::uint64_t bits = lanes[q * lanes_ + lane];
            std::uint8_t* tile = lines_.data()->bytes + (q / kTile * lanes_ + lane) * kTileBytes;
            for (std::size_t bit = 0; bit < 64; ++bit) {
                const std::size_t k = place(bit);
                tile[k / 4 * 64 + q % kTile * 4 + k % 4] = bits >> bit & 1 ? 1 : 0xFF;
            }
            ones_[q] += __builtin_popcountll(bits);
        }
        set_limit(q, -1);
    }
}

}  // namespace dsah
