// Multi-index hashing (Norouzi, Punjani, Fleet: "Fast exact search in Hamming space with
// multi-index hashing", TPAMI 2014) on two levels, for codes of one lane.
//
// A code is cut into two halves, and a half into two chunks (codes of up to 32 bits: into two
// chunks at once). Each chunk has a table from its value to the codes that hold it. Two codes
// within distance r agree up to r / 2 bits in one half, and so up to r / 4 bits in one chunk:
// looking up all chunk values near the query's finds every near code, and most of the others that
// it finds are dropped after two bytes, the rest of the half, which lie side by side per bucket.
//
// A code is found through its nearer half, and there through its nearer chunk (the first of two
// equal ones), so it is found once.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.hpp"
#include "pool.hpp"
#include "reach.hpp"
#include "snapshot.hpp"
#include "topk.hpp"

namespace dsah {

/// What a look-up is expected to cost, in steps that were counted or foreseen.
struct Work {
    double probes = 0;      ///< buckets
    double candidates = 0;  ///< entries in them
    /// Fits 1 M to 10 M random 64-bit codes, k = 10 and 100, within a third: Sapphire Rapids,
    /// AVX-512, each query another; timed by bench/rank.py. Once tables are there, the planner
    /// goes by what they take.
    double ns() const { return 6 * probes + 0.5 * candidates; }

    Work& operator+=(const Work& other) {
        probes += other.probes;
        candidates += other.candidates;
        return *this;
    }
};

class MultiIndex {
  public:
    /// Up to 2^30 codes of 17 to 64 bits: chunks of 8 to 16 bits.
    static bool fits(const Layout& layout, std::size_t rows);

    /// Indexes the live rows of a snapshot whose layout fits.
    MultiIndex(const Snapshot& rows, unsigned threads, Stop& stop);

    /// Feeds all live rows with an id above `above` that can still matter to `found`.
    ///
    /// `rows` is the snapshot that was indexed or a later one of the same rows. Gives up,
    /// returning false, as soon as more than `budget_ns` would be needed; `found` then holds a
    /// part of the answer. `work` is increased by what was done.
    bool search(const Snapshot& rows, std::uint64_t query, std::int64_t above, const Sifter& sifter,
                double budget_ns, TopK& found, Work& work, Stop& stop) const;

    /// Expected cost of finding everything within `radius`, given a sample of the codes.
    static Work foresee(const Layout& layout, std::size_t rows, std::uint64_t query,
                        std::uint32_t radius, const std::vector<std::uint64_t>& sample);
    static std::size_t expected_bytes(const Layout& layout, std::size_t rows);

    std::size_t bytes() const;
    std::size_t chunks() const { return tables_.size(); }

  private:
    /// Some consecutive bits of a code without its padding.
    struct Part {
        int shift, width;
        std::uint32_t of(std::uint64_t code) const {
            return static_cast<std::uint32_t>(code >> shift & ((std::uint64_t{1} << width) - 1));
        }
    };
    /// How a table cuts a code.
    struct Cut {
        Part bucket, near, far;  ///< far has no bits if there is one half only
        std::uint32_t half;      ///< 0 or 1: of the two equally near ones, 0 finds a code
        std::uint32_t chunk;     ///< likewise in the half
    };
    struct Table {
        Cut cut;
        std::shared_ptr<Memory> memory;  ///< one piece, so that it lies on huge pages
        Bounds bounds{};
        std::uint16_t* near = nullptr;                  ///< of each place
        std::uint32_t *far = nullptr, *rows = nullptr;  ///< likewise
    };
    class Lookup;
    static std::size_t entry_bytes(const Cut& cut) { return cut.far.width ? 2 + 4 + 4 : 2 + 4; }
    static std::uint64_t without_padding(const Layout& layout, std::uint64_t lane);
    static std::vector<Cut> cuts(const Layout& layout);
    static Work uniform_work(const std::vector<Cut>& cuts, double rows, int radius);
    void fill(Table& table, const Snapshot& rows, Stop& stop) const;
    bool probe_all(Lookup& lookup, double budget_ns, const TopK& found, Work& work) const;

    Layout layout_;
    std::vector<Table> tables_;
    std::size_t rows_ = 0;
    mutable Reach reach_;  // a guess for the next search: no part of any answer
};

}  // namespace dsah
