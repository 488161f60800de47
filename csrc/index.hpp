// The index: writers one at a time, readers at any time, every answer exact and in order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "allowed.hpp"
#include "file.hpp"
#include "kernel.hpp"
#include "locks.hpp"
#include "planner.hpp"
#include "pool.hpp"
#include "reach.hpp"
#include "snapshot.hpp"
#include "topk.hpp"

namespace dsah {

enum class OnDuplicate { raise, skip, replace };

struct Options {
    std::uint32_t bits = 64;
    std::uint32_t symbol_bits = 1;
    unsigned threads = 0;  ///< 0: available_cores()
    std::string isa;       ///< empty: DSAH_ISA, else the fastest
    bool sublinear = true;
};

/// What to look for.
struct Request {
    const std::uint8_t* queries = nullptr;  ///< packed codes, row after row
    std::size_t count = 0;
    std::size_t k = kNoLimit;
    std::uint32_t radius = UINT32_MAX;
    const AllowedRows* allow = nullptr;        ///< made for the same snapshot
    const std::int64_t* only_above = nullptr;  ///< per query: ids up to this one do not count
    bool count_only = false;                   ///< results are one entry: its id is the count
    const float* weights = nullptr;            ///< count x bits: rank by the asymmetric distance

    /// Up to `most` of the queries, from number `first` on.
    Request part(std::size_t first, std::size_t most, const Layout& layout) const;
};

class Index {
  public:
    explicit Index(const Options& options);

    const Layout& layout() const { return layout_; }
    const Kernel& kernel() const { return kernel_; }
    unsigned threads() const { return threads_; }
    std::size_t size() const { return present()->live; }

    // Each call below throws Error(interrupted) soon after `stop` is asked to, and then has
    // changed nothing.

    /// The present state. Throws Error(file) if it comes from a file that fails its checksums,
    /// which are compared here, once, when that was put off.
    std::shared_ptr<const Snapshot> snapshot(Stop& stop = Stop::never()) const;

    /// Appends `count` packed codes; `ids` null means the next free ones. Returns rows added.
    /// Throws Error(code) for dirty padding, Error(usage) for a negative or duplicate id.
    std::size_t add(const std::uint8_t* packed, std::size_t count, const std::int64_t* ids,
                    OnDuplicate on_duplicate = OnDuplicate::raise, Stop& stop = Stop::never());
    /// Adds the rows of another index's snapshot under their ids. Throws as add() does.
    std::size_t merge(const Snapshot& other, OnDuplicate on_duplicate = OnDuplicate::raise,
                      Stop& stop = Stop::never());
    /// Removes the ids that are present; returns how many that were.
    std::size_t remove(const std::int64_t* ids, std::size_t count, Stop& stop = Stop::never());
    /// Drops removed rows from memory; ids stay.
    void compact(Stop& stop = Stop::never());
    /// Takes one piece of memory for the next `rows` rows. Throws bad_alloc if it cannot be had;
    /// nothing is reserved then.
    void reserve(std::size_t rows, Stop& stop = Stop::never());
    /// Takes over the rows of a file; this index must be empty.
    void adopt(const IndexFile& file, bool verified);

    /// Row of each id in `snapshot`, kNoRow where there is none.
    std::vector<std::size_t> rows_of(const Snapshot& snapshot, const std::int64_t* ids,
                                     std::size_t count, Stop& stop = Stop::never()) const;

    /// Results of each query, ordered by (distance, id).
    std::vector<std::vector<Ranked>> search(const Snapshot& snapshot, const Request& request,
                                            Stop& stop);
    /// Builds the structures now rather than when a search finds that they pay.
    void build(Stop& stop);
    Plan last_plan() const { return planner_.last(); }
    /// Whether the codes are those of the file that was adopted.
    bool unchanged() const { return changes_ == 0; }

  private:
    Goal goal_of(const Request& request, const Snapshot& snapshot) const;
    std::vector<std::vector<Ranked>> answer(const Snapshot& asked, const Goal& goal,
                                            const Request& request, bool scan_only, Plan& plan,
                                            std::shared_ptr<const Snapshot>& newer, Stop& stop);
    void try_out(const Snapshot& snapshot, const Goal& goal, const Request& request, Stop& stop);
    bool may_use_structures(const Request& request) const;
    std::vector<TopK> scan_to_reach(const Snapshot& snapshot, const Goal& goal,
                                    const Queries& queries, Plan& plan, Stop& stop);
    void plain_scan(const Snapshot& snapshot, const Goal& goal, const Queries& queries,
                    const Bitmap* allow, std::size_t first_row, std::vector<TopK>& found,
                    Plan& plan, Stop& stop);
    void through_structures(const Snapshot& snapshot, const Goal& goal, const Queries& queries,
                            std::vector<TopK>& found, Plan& plan, Stop& stop);
    void listed_rows(const Snapshot& snapshot, const Queries& queries,
                     const std::vector<std::size_t>& rows, std::vector<TopK>& found, Stop& stop);
    void reorder(const Snapshot& snapshot, const Request& request, std::size_t k,
                 std::vector<std::vector<Ranked>>& results, Stop& stop) const;
    bool wants_look(const Snapshot& snapshot, std::string& reason);
    std::shared_ptr<const Snapshot> consider(const Snapshot& snapshot, const Goal& goal,
                                             const Queries& queries,
                                             const std::vector<std::uint32_t>& radii,
                                             std::string& reason, Stop& stop);
    std::shared_ptr<const Snapshot> attach(const Snapshot& base,
                                           std::shared_ptr<const Sublinear> structures, Stop& stop);
    std::shared_ptr<const Snapshot> present() const;
    void publish(std::shared_ptr<Snapshot> next);

    Layout layout_;
    const Kernel& kernel_;
    Loops loops_;
    unsigned threads_;
    bool sublinear_;

    Planner planner_;
    Reach reach_;                             // of scans
    ForkSafeMutex building_;                  // one builder of structures at a time
    std::atomic<std::uint64_t> searches_{0};  // without structures
    std::atomic<double> rent_ns_{0};          // spent on rows that structures do not cover

    std::atomic<std::uint64_t> changes_{0};  // of codes, since adopt()
    ForkSafeMutex writing_;                  // one writer at a time
    mutable ForkSafeMutex verifying_;
    mutable std::atomic<bool> verified_{true};
    std::unique_ptr<const IndexFile> unverified_;
    std::shared_ptr<const Snapshot> snapshot_;  // swapped under publishing()
};

}  // namespace dsah
