// What may stand beside the codes to make searches faster than a scan; answers stay the same.
#pragma once

#include <memory>

#include "groups.hpp"
#include "multi_index.hpp"
#include "scan.hpp"

namespace dsah {

/// Structures over the first `covered` rows of a snapshot. Later rows are scanned; rows removed
/// since are passed over.
class Sublinear {
  public:
    Sublinear(const Snapshot& snapshot, unsigned threads, Stop& stop);

    std::size_t covered() const { return covered_; }
    const Groups* groups() const { return groups_.get(); }
    const MultiIndex* tables() const { return tables_.get(); }
    double build_seconds() const { return build_seconds_; }
    std::size_t bytes() const;
    /// Distinct codes if they are grouped, else rows.
    std::size_t units() const;

    /// Codes that repeat often enough to be worth grouping.
    static bool worth_grouping(const Snapshot& snapshot) {
        return worth_grouping(snapshot, distinct_share(snapshot, kSample));
    }
    /// The same where the share of distinct codes among `kSample` is known.
    static bool worth_grouping(const Snapshot& snapshot, double distinct);
    static constexpr std::size_t kSample = 65536;
    /// Whether tables could be built of so many codes (or groups of them).
    static bool has_tables(const Layout& layout, std::size_t units);
    /// Threads that look queries up in tables, each query by one of them.
    static unsigned lookers(std::size_t queries, unsigned threads) {
        if (queries < 4) return 1;
        return static_cast<unsigned>(std::min<std::size_t>(queries, threads));
    }

    /// Feeds the covered rows to the collectors. Queries whose tables would cost the call more
    /// than `budget_ns` each are left alone and flagged in `given_up`.
    void search(const Snapshot& snapshot, const Queries& queries, const Loops& loops,
                double budget_ns, unsigned threads, Stop& stop, std::vector<TopK>& found,
                std::vector<char>& given_up, Work& work) const;

  private:
    void expand(const Snapshot& snapshot, std::vector<Ranked> units, std::int64_t above,
                TopK& found, Stop& stop) const;

    std::size_t covered_;
    std::shared_ptr<const Bitmap> alive_;  // when built: these rows need no further look
    std::unique_ptr<Groups> groups_;
    std::unique_ptr<MultiIndex> tables_;
    double build_seconds_ = 0;
};

}  // namespace dsah
