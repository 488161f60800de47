#include "flips.hpp"

#include <array>
#include <atomic>
#include <memory>

namespace dsah {
namespace {

using Masks = std::array<std::array<std::vector<std::uint16_t>, kMaxFlips + 1>, kMaxChunk + 1>;

Masks all_masks() {
    Masks masks;
    for (std::uint32_t mask = 0; mask < 1u << kMaxChunk; ++mask) {
        const int count = __builtin_popcount(mask);
        if (count > kMaxFlips) continue;
        const int least = mask ? 32 - __builtin_clz(mask) : 1;
        for (int width = least; width <= kMaxChunk; ++width)
            masks[static_cast<std::size_t>(width)][static_cast<std::size_t>(count)].push_back(
                static_cast<std::uint16_t>(mask));
    }
    return masks;
}

std::atomic<const Masks*> g_masks{nullptr};

}  // namespace

const std::vector<std::uint16_t>& flips_of(int width, int count) {
    // Not a static of the function: a fork while another thread initialises one would leave the
    // child waiting for that thread.
    const Masks* masks = g_masks;
    if (!masks) {
        auto fresh = std::make_unique<const Masks>(all_masks());
        if (g_masks.compare_exchange_strong(masks, fresh.get())) masks = fresh.release();
    }
    return (*masks)[static_cast<std::size_t>(width)][static_cast<std::size_t>(count)];
}

double binomial(int n, int k) {
    double value = 1;
    for (int i = 0; i < k; ++i) value = value * (n - i) / (i + 1);
    return value;
}

}  // namespace dsah
