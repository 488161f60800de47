// Ids that count up over many rows are kept as runs: only where each starts takes memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace dsah {

/// Rows from `row` on have the ids from `id` on, as far as the next run or the rows reach.
struct Run {
    std::size_t row;
    std::int64_t id;
};

/// Finds the runs of ids that come one by one, as long as there are few of them.
class RunFinder {
  public:
    /// `rows`: how many ids will come.
    explicit RunFinder(std::size_t rows) : most_(std::max<std::size_t>(1, rows / kRowsEach)) {}

    void take(std::int64_t id) {
        if ((row_ == 0 || id != next_) && runs_.size() <= most_) runs_.push_back({row_, id});
        ++row_;
        next_ = id + 1;
    }
    /// By rising row; none if there are so many that ids are better stored one by one.
    std::vector<Run> runs() && {
        if (runs_.size() > most_) runs_.clear();
        return std::move(runs_);
    }

  private:
    static constexpr std::size_t kRowsEach = 128;  // of an average run: each takes 32 bytes
    std::size_t most_, row_ = 0;
    std::int64_t next_ = 0;
    std::vector<Run> runs_;
};

}  // namespace dsah
