// How far answers reach. Looking no farther at first than the latest answers did drops most of
// what would only be pushed out again; a query that finds less than k so is asked once more.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace dsah {

class Reach {
  public:
    Reach() {
        for (auto& slot : slots_) slot = kUnknown;
    }
    /// Distance that will hold the k nearest, probably; far beyond any code while unknown.
    std::int64_t guess(std::size_t k) const { return slot(k) / kCalm; }
    bool known(std::size_t k) const { return slot(k) != kUnknown; }
    /// The answer reached to `radius`, expected was `guess`.
    void note(std::size_t k, std::int64_t guess, std::int64_t radius) {
        std::atomic<std::int64_t>& slot = this->slot(k);
        if (radius < guess && slot != kUnknown)
            --slot;
        else
            slot = (slot == kUnknown ? radius : std::min(guess + 1, radius)) * kCalm + kCalm - 1;
    }

  private:
    static constexpr std::int64_t kCalm = 8;  ///< nearer answers in a row to guess one less
    static constexpr std::int64_t kUnknown = std::int64_t{1} << 32;
    /// One for each binary order of k.
    std::atomic<std::int64_t>& slot(std::size_t k) {
        return slots_[static_cast<std::size_t>(63 - __builtin_clzll(k | 1))];
    }
    const std::atomic<std::int64_t>& slot(std::size_t k) const {
        return const_cast<Reach*>(this)->slot(k);
    }
    std::array<std::atomic<std::int64_t>, 64> slots_;
};

}  // namespace dsah
