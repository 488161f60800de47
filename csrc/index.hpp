// The index: writers one at a time, readers at any time, every answer exact and in order.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "file.hpp"
#include "id_map.hpp"
#include "kernel.hpp"
#include "planner.hpp"
#include "pool.hpp"
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

/// The rows that a search may return, in both forms in which it may want them.
struct AllowedRows {
    std::vector<std::size_t> list;
    Bitmap bitmap;
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
};

class Index {
  public:
    explicit Index(const Options& options);

    const Layout& layout() const { return layout_; }
    const Kernel& kernel() const { return kernel_; }
    unsigned threads() const { return threads_; }
    /// The present state. Throws Error(file) if it comes from a file that fails its checksums,
    /// which are compared here, once, when that was put off.
    std::shared_ptr<const Snapshot> snapshot() const;
    std::size_t size() const;  ///< without that check

    /// Appends `count` packed codes; `ids` null means the next free ones. Returns rows added.
    /// Throws Error(code) for dirty padding, Error(usage) for a negative or duplicate id.
    std::size_t add(const std::uint8_t* packed, std::size_t count, const std::int64_t* ids,
                    OnDuplicate on_duplicate = OnDuplicate::raise);
    /// Removes the ids that are present; returns how many that were.
    std::size_t remove(const std::int64_t* ids, std::size_t count);
    /// Drops removed rows from memory; ids stay.
    void compact();
    /// Makes the next `rows` rows one piece of memory.
    void reserve(std::size_t rows);
    /// Takes over the rows of a file; this index must be empty.
    void adopt(const IndexFile& file, bool verified);

    /// Row of each id in `snapshot`, IdMap::kAbsent where there is none.
    std::vector<std::size_t> rows_of(const Snapshot& snapshot, const std::int64_t* ids,
                                     std::size_t count) const;

    AllowedRows allowed(const Snapshot& snapshot, const std::int64_t* ids, std::size_t count) const;

    /// Results of each query, ordered by (distance, id).
    std::vector<std::vector<Ranked>> search(const Snapshot& snapshot, const Request& request,
                                            Stop& stop);
    /// Builds the structures now rather than when a search finds that they pay.
    void build(Stop& stop);
    Plan last_plan() const { return planner_.last(); }
    std::size_t id_map_bytes() const;
    /// Whether the codes are those of the file that was adopted.
    bool unchanged() const { return changes_ == 0; }

  private:
    void plain_scan(const Snapshot& snapshot, const Queries& queries, const Bitmap* allow,
                    std::size_t first_row, std::vector<TopK>& found, Plan& plan, Stop& stop);
    void through_structures(const Snapshot& snapshot, const Queries& queries, std::size_t k,
                            std::uint32_t radius, std::vector<TopK>& found, Plan& plan, Stop& stop);
    void listed_rows(const Snapshot& snapshot, const Queries& queries,
                     const std::vector<std::size_t>& rows, std::vector<TopK>& found, Stop& stop);
    void reorder(const Snapshot& snapshot, const Request& request, std::size_t k,
                 std::vector<std::vector<Ranked>>& results, Stop& stop) const;
    bool wants_look(const Snapshot& snapshot);
    std::shared_ptr<const Snapshot> consider(const Snapshot& snapshot, const Queries& queries,
                                             const std::vector<std::uint32_t>& radii,
                                             std::string& reason, Stop& stop);
    std::shared_ptr<const Snapshot> attach(const Snapshot& base,
                                           std::shared_ptr<const Sublinear> structures);
    void publish(std::shared_ptr<Snapshot> next);
    void append(Snapshot& next, const std::uint8_t* packed, std::size_t count,
                const std::int64_t* ids);
    Segment* segment_for(Snapshot& next, std::size_t count, bool with_ids, std::int64_t first_id);
    void copy_open_block(Piece& piece) const;
    std::size_t bury(Snapshot& next, const std::vector<std::size_t>& rows);
    const IdMap& id_map(const Snapshot& snapshot) const;

    Layout layout_;
    const Kernel& kernel_;
    CollectFn collect_;
    unsigned threads_;
    bool sublinear_;
    std::size_t reserved_ = 0;

    Planner planner_;
    std::mutex building_;                     // one builder of structures at a time
    std::atomic<std::uint64_t> searches_{0};  // without structures
    std::atomic<double> rent_ns_{0};          // spent on rows that structures do not cover

    std::atomic<std::uint64_t> changes_{0};  // of codes, since adopt()
    std::mutex writing_;                     // one writer at a time
    mutable std::shared_mutex map_lock_;     // guards map_ and its agreement with snapshot_
    mutable std::unique_ptr<IdMap> map_;
    mutable std::mutex verifying_;
    mutable std::atomic<bool> verified_{true};
    std::unique_ptr<const IndexFile> unverified_;
    mutable std::mutex snapshot_lock_;
    std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace dsah
