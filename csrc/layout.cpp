#include "layout.hpp"

#include <algorithm>
#include <type_traits>

namespace dsah {

namespace {

/// The first `Count` bytes as the low ones of a word. Put together in a register: bytes written
/// to memory one by one and read back as a word would be waited for.
template <std::size_t Count>
std::uint64_t read_bytes(const std::uint8_t* p) {
    constexpr std::size_t kWhole = Count >= 8 ? 8 : Count >= 4 ? 4 : Count >= 2 ? 2 : 1;
    using Part = std::conditional_t<
        kWhole == 8, std::uint64_t,
        std::conditional_t<kWhole == 4, std::uint32_t,
                           std::conditional_t<kWhole == 2, std::uint16_t, std::uint8_t>>>;
    Part part;
    std::memcpy(&part, p, kWhole);
    if constexpr (Count == kWhole)
        return part;
    else
        return part | read_bytes<Count - kWhole>(p + kWhole) << 8 * kWhole;
}

/// Copies the same `Taken` bytes of each packed code into a lane, filled up with zeros.
template <std::size_t Taken>
void copy_lane(std::uint8_t* lane, const std::uint8_t* packed, std::size_t bytes,
               std::size_t count) {
    constexpr std::size_t kWidth = Taken > 4 ? 8 : Taken == 3 ? 4 : Taken;
    for (std::size_t i = 0; i < count; ++i, lane += kWidth, packed += bytes) {
        const std::uint64_t value = read_bytes<Taken>(packed);
        std::memcpy(lane, &value, kWidth);
    }
}

using CopyLane = void (*)(std::uint8_t*, const std::uint8_t*, std::size_t, std::size_t);
constexpr CopyLane kCopyLane[] = {nullptr,      copy_lane<1>, copy_lane<2>,
                                  copy_lane<3>, copy_lane<4>, copy_lane<5>,
                                  copy_lane<6>, copy_lane<7>, copy_lane<8>};

}  // namespace

void Layout::store(std::uint8_t* codes, std::size_t first, const std::uint8_t* packed,
                   std::size_t count) const {
    if (flat() && stride == bytes) {
        if (count) std::memcpy(codes + first * stride, packed, count * stride);
        return;
    }
    for (std::size_t i = 0; i < count;) {
        const std::size_t some = std::min(count - i, kBlockRows - (first + i) % kBlockRows);
        for (std::uint32_t lane = 0; lane < lanes(); ++lane)
            kCopyLane[std::min(8u, bytes - 8 * lane)](at(codes, first + i, lane),
                                                      packed + i * bytes + 8 * lane, bytes, some);
        i += some;
    }
}

void Layout::copy(std::uint8_t* to, std::size_t to_row, const std::uint8_t* from,
                  std::size_t from_row, std::size_t count) const {
    if (flat()) {
        if (count) std::memcpy(to + to_row * stride, from + from_row * stride, count * stride);
        return;
    }
    for (std::size_t some; count; to_row += some, from_row += some, count -= some) {
        some =
            std::min({count, kBlockRows - to_row % kBlockRows, kBlockRows - from_row % kBlockRows});
        for (std::uint32_t lane = 0; lane < lanes(); ++lane)
            std::memcpy(at(to, to_row, lane), at(from, from_row, lane),
                        some * (lane < words ? 8 : tail));
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
    const std::uint8_t* last = packed + bytes - 1;  // byte of the first code
    constexpr std::size_t kStep = 1024;
    for (std::size_t i = 0; i < count; i += kStep) {
        const std::size_t end = std::min(count, i + kStep);
        std::uint8_t any = 0;  // without a branch per code
        for (std::size_t j = i; j < end; ++j) any |= last[j * bytes];
        for (std::size_t j = i; any & mask; ++j)
            if (last[j * bytes] & mask) return j;
    }
    return count;
}

}  // namespace dsah
