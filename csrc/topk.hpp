// The k smallest (distance, id) of a stream, with a limit that tightens as they arrive.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "stop.hpp"

namespace dsah {

struct Ranked {
    std::int32_t distance = 0;
    std::int64_t id = 0;
    Ranked() = default;
    Ranked(std::int32_t distance_, std::int64_t id_) : distance(distance_), id(id_) {}
};
inline bool operator<(const Ranked& a, const Ranked& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
}

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

/// How many rows a unit (a group of identical codes) stands for, counted up to `cap`.
class UnitSizes {
  public:
    virtual ~UnitSizes() = default;
    virtual std::size_t size(std::int64_t unit, std::size_t cap) const = 0;
};

/// Distances are small integers, so the k-th smallest is kept by counting how many of each value
/// arrived; nothing is sorted before `finish`.
class TopK {
  public:
    /// At most `k` results (kNoLimit: all) with distance <= radius. With `ascending` the caller
    /// promises rising ids, so that a later id never displaces an equal distance.
    /// With `sizes` the ids are units, and every unit that holds one of the k rows is kept.
    TopK(std::size_t k, std::uint32_t radius, bool ascending, const UnitSizes* sizes = nullptr)
        : k_(k),
          radius_(static_cast<std::int64_t>(radius)),
          ascending_(ascending && !sizes),
          sizes_(sizes) {
        if (k_ == kNoLimit) return;
        seen_.assign(radius + 1, 0);
        found_.reserve(room(k_));
        prune_at_ = room(k_);
    }

    /// Nothing beyond this distance can matter any more; -1 when nothing at all can.
    std::int64_t limit() const { return full_ && ascending_ ? radius_ - 1 : radius_; }

    void push(std::uint32_t distance, std::int64_t id) {
        if (static_cast<std::int64_t>(distance) > limit()) return;
        if (full_ && static_cast<std::int64_t>(distance) == radius_ && id > tie_bound_) return;
        std::size_t rows = 1;
        if (sizes_ && (rows = sizes_->size(id, k_)) == 0) return;
        if (count_only_) {
            count_ += rows;
            return;
        }
        // In place: a copy of a fresh Ranked would wait for both of its halves to be written.
        found_.emplace_back(static_cast<std::int32_t>(distance), id);
        if (k_ == kNoLimit) return;
        seen_[distance] += rows;
        count_ += rows;
        tighten();
        if (found_.size() >= prune_at_) prune();
    }

    /// Asks early for the memory that the next result is written to.
    void expect() const {
        __builtin_prefetch(found_.data() + found_.size(), 1);
        __builtin_prefetch(seen_.data() + radius_, 1);
    }

    /// Memory that an empty collector starts with, if nothing is kept in groups.
    static std::size_t expected_bytes(std::size_t k, std::uint32_t radius) {
        if (k == kNoLimit) return sizeof(TopK);
        return sizeof(TopK) + 8 * (radius + std::size_t{1}) + sizeof(Ranked) * room(k);
    }

    bool full() const { return full_; }
    std::int64_t radius() const { return radius_; }
    std::size_t k() const { return k_; }

    /// Only count what is within the radius; the result is then one entry whose id is the count.
    void count_only() { count_only_ = true; }
    bool counting() const { return count_only_; }

    /// An empty collector for a part of the same search.
    TopK part() const { return within(static_cast<std::uint32_t>(radius_)); }

    /// The same for a search that looks no farther than `radius`.
    TopK within(std::uint32_t radius) const {
        TopK empty(k_, radius, ascending_, sizes_);
        empty.count_only_ = count_only_;
        return empty;
    }

    /// Adds another collector's results; afterwards ids no longer rise.
    void absorb(TopK& other, Stop& stop) {
        ascending_ = false;
        if (count_only_) count_ += other.count_;
        other.drop_beyond();
        in_steps(other.found_.size(), 65536, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i)
                push(static_cast<std::uint32_t>(other.found_[i].distance), other.found_[i].id);
        });
    }

    /// The results in order (distance, id); leaves the collector empty.
    std::vector<Ranked> finish(Stop& stop = Stop::never()) {
        if (count_only_) return {{0, static_cast<std::int64_t>(count_)}};
        drop_beyond();
        if (ascending_ && k_ != kNoLimit)
            by_distance(stop);
        else
            stoppable_sort(found_.begin(), found_.end(), std::less<Ranked>(), stop);
        if (found_.size() > k_ && !sizes_) found_.resize(k_);
        if (found_.capacity() > 2 * found_.size() + kSpare) found_.shrink_to_fit();
        return std::move(found_);
    }

  private:
    static constexpr std::size_t kSpare = 4096;  ///< results that may stay allocated for nothing
    /// Results kept before needless ones are dropped: few, so that many queries fit the cache.
    static std::size_t room(std::size_t k) { return std::min<std::size_t>(2 * k + 64, 4096); }

    void tighten() {
        if (count_ < k_) return;
        full_ = true;
        while (radius_ > 0 && count_ - seen_[static_cast<std::size_t>(radius_)] >= k_) {
            count_ -= seen_[static_cast<std::size_t>(radius_)];
            --radius_;
            tie_bound_ = std::numeric_limits<std::int64_t>::max();
        }
    }

    void drop_beyond() {
        const auto radius = radius_;
        found_.erase(std::remove_if(found_.begin(), found_.end(),
                                    [radius](const Ranked& r) { return r.distance > radius; }),
                     found_.end());
    }

    /// Puts what came in with rising ids in order: every distance has been counted.
    void by_distance(Stop& stop) {
        std::size_t before = 0;
        for (std::size_t d = 0; d <= static_cast<std::size_t>(radius_); ++d)
            before += std::exchange(seen_[d], before);
        // Of this thread: many answers are put in order at a time, and a heap serves one thread.
        thread_local std::vector<Ranked> ordered;
        ordered.resize(std::max(ordered.size(), found_.size()));
        in_steps(found_.size(), 65536, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i)
                ordered[seen_[static_cast<std::size_t>(found_[i].distance)]++] = found_[i];
        });
        std::copy_n(ordered.begin(), found_.size(), found_.begin());
        if (ordered.size() > kSpare) std::vector<Ranked>().swap(ordered);
    }

    /// Forget what is beyond the limit and, among equals at the limit, all but the smallest ids
    /// (of rising ids no needless equal ever came in).
    void prune() {
        drop_beyond();
        if (full_ && !ascending_ && found_.size() > k_ && !sizes_) {
            std::nth_element(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(k_) - 1,
                             found_.end());
            tie_bound_ = found_[k_ - 1].id;
            seen_[static_cast<std::size_t>(radius_)] -= found_.size() - k_;
            count_ = k_;
            found_.resize(k_);
        }
        prune_at_ = std::max(room(k_), 2 * found_.size());
    }

    std::size_t k_;
    std::int64_t radius_;
    bool ascending_;
    const UnitSizes* sizes_;
    bool full_ = false;
    bool count_only_ = false;
    std::size_t count_ = 0;  // found with distance <= radius_
    std::int64_t tie_bound_ = std::numeric_limits<std::int64_t>::max();
    std::size_t prune_at_ = 4096;
    std::vector<std::uint64_t> seen_;
    std::vector<Ranked> found_;
};

}  // namespace dsah
