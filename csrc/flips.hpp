// The values at a given distance from another, by the bits that are flipped.
#pragma once

#include <cstdint>
#include <vector>

namespace dsah {

constexpr int kMaxFlips = 5;  // beyond this a scan is always cheaper
constexpr int kMaxChunk = 16;

/// All masks of `width` bits with exactly `count` set, rising; 1 <= width <= kMaxChunk.
const std::vector<std::uint16_t>& flips_of(int width, int count);

double binomial(int n, int k);

}  // namespace dsah
