#include "layout.hpp"

#include <algorithm>

namespace dsah {

void Layout::store(std::uint8_t* codes, std::size_t first, const std::uint8_t* packed,
                   std::size_t count) const {
    if (flat() && stride == bytes) {
        if (count) std::memcpy(codes + first * stride, packed, count * stride);
        return;
    }
    for (std::size_t i = 0; i < count; ++i, packed += bytes) {
        for (std::uint32_t lane = 0; lane < lanes(); ++lane) {
            const std::uint32_t width = lane < words ? 8 : tail;
            std::uint64_t value = 0;
            std::memcpy(&value, packed + 8 * lane, std::min(width, bytes - 8 * lane));
            std::memcpy(at(codes, first + i, lane), &value, width);
        }
    }
}

void Layout::fetch(const std::uint8_t* codes, std::size_t row, std::uint8_t* packed) const {
    for (std::uint32_t lane = 0; lane < lanes(); ++lane) {
        const std::uint32_t width = lane < words ? 8 : tail;
        std::memcpy(packed + 8 * lane, at(codes, row, lane), std::min(width, bytes - 8 * lane));
    }
}

void Layout::spread(const std::uint8_t* packed, std::uint64_t* lanes_out) const {
    for (std::uint32_t lane = 0; lane < lanes(); ++lane) {
        lanes_out[lane] = 0;
        std::memcpy(lanes_out + lane, packed + 8 * lane, std::min(8u, bytes - 8 * lane));
    }
}

std::size_t Layout::first_dirty(const std::uint8_t* packed, std::size_t count) const {
    const std::uint32_t spare = bytes * 8 - bits;
    if (!spare) return count;
    const auto mask = static_cast<std::uint8_t>((1u << spare) - 1);
    for (std::size_t i = 0; i < count; ++i)
        if (packed[i * bytes + bytes - 1] & mask) return i;
    return count;
}

}  // namespace dsah
