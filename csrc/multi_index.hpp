// Multi-index hashing (Norouzi, Punjani, Fleet: "Fast exact search in Hamming space with
// multi-index hashing", TPAMI 2014), for codes of one lane.
//
// A code is cut into m chunks, and each chunk has a table from its value to the codes that hold
// it. Two codes within distance r agree up to r / m bits in at least one chunk, so looking up all
// chunk values near the query's finds every near code. Each table stores its codes in bucket
// order, so that a bucket is checked by the same vector kernel as a scan.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.hpp"
#include "pool.hpp"
#include "snapshot.hpp"
#include "topk.hpp"

namespace dsah {

/// What a look-up is expected to cost, in steps that were counted or foreseen.
struct Work {
    double probes = 0;
    double candidates = 0;
    double ns() const { return 15 * probes + 0.4 * candidates; }  // measured by bench/rank.py
};

class MultiIndex {
  public:
    /// Indexes the live rows of a snapshot with a flat layout.
    MultiIndex(const Snapshot& rows, unsigned threads, Stop& stop);

    /// Feeds all live rows with an id above `above` that can still matter to `found`.
    ///
    /// `rows` is the snapshot that was indexed or a later one of the same rows. Gives up,
    /// returning false, as soon as more than `budget_ns` would be needed; `found` then holds a
    /// part of the answer. `work` is increased by what was done.
    bool search(const Snapshot& rows, std::uint64_t query, std::int64_t above, CollectFn collect,
                double budget_ns, TopK& found, Work& work, Stop& stop) const;

    /// Expected cost of finding everything within `radius`, given a sample of the codes.
    static Work foresee(const Layout& layout, std::size_t rows, std::uint64_t query,
                        std::uint32_t radius, const std::vector<std::uint64_t>& sample);
    static std::size_t expected_bytes(const Layout& layout, std::size_t rows);

    std::size_t bytes() const;
    std::size_t chunks() const { return tables_.size(); }

  private:
    struct Chunk {
        int shift, width;
        std::uint64_t of(std::uint64_t code) const {
            return code >> shift & ((std::uint64_t{1} << width) - 1);
        }
    };
    struct Table {
        Chunk chunk;
        std::vector<std::uint32_t> starts;              ///< of each bucket, and the end of the last
        std::shared_ptr<Memory> codes;                  ///< lanes, in bucket order
        std::vector<std::uint32_t> rows;                ///< row number of each
        std::vector<std::vector<std::uint32_t>> flips;  ///< by number of flipped bits
        void fetch(std::uint64_t value, std::size_t stride) const;
    };
    static Work uniform_work(const std::vector<Chunk>& chunks, double rows, int radius);
    static std::vector<Chunk> cut(const Layout& layout, std::size_t rows);
    void fill(Table& table, const Snapshot& rows, std::size_t total, Stop& stop) const;
    void check_bucket(const Snapshot& rows, std::size_t table, std::uint64_t value, int flips,
                      std::uint64_t query, std::int64_t above, CollectFn collect, TopK& found,
                      Work& work) const;
    bool found_earlier(std::uint64_t difference, std::size_t table, int flips) const;

    Layout layout_;
    std::vector<Table> tables_;
    std::size_t rows_ = 0;
};

}  // namespace dsah
