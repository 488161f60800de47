// Which way to search. Every way gives the same answer, so only time is at stake.
#pragma once

#include <array>
#include <atomic>
#include <string>

#include "sublinear.hpp"

namespace dsah {

/// What the last search did, for explain().
struct Plan {
    std::string path;    ///< "scan", "groups", "tables" or "listed rows"
    std::string reason;  ///< why that one
    std::size_t queries = 0;
    std::size_t fallbacks = 0;     ///< queries that tables gave up on
    std::size_t scanned_rows = 0;  ///< rows compared one by one, per query
    Work work;                     ///< of all queries together
    double expected_scan_ns = 0;   ///< of one query by a plain scan
    double seconds = 0;
};

/// Costs as measured on this machine by the searches themselves: the time of a call whose threads
/// have cores of their own (busy_ns), shared out over its queries.
class Planner {
  public:
    /// Expected time of one of `count` queries by a scan of `bytes` bytes.
    double scan_ns(std::size_t bytes, std::size_t count) const;
    void note_scan(std::size_t bytes, std::size_t count, double ns);

    /// Whether building would pay within some thousand searches like this one, whose answers
    /// reach out to `radii`, on so many threads; the reason is written to `reason`.
    bool worth_building(const Snapshot& snapshot, const Queries& queries,
                        const std::vector<std::uint32_t>& radii, unsigned threads,
                        std::string& reason) const;

    /// Whether a plain scan of `bytes` bytes was measured to be faster than what stands beside
    /// the codes, for `count` queries and this k; or was never measured, so that it should be.
    /// Now and then it says no, to see whether that is still so.
    bool prefers_scan(std::size_t bytes, std::size_t count, std::size_t k);
    /// One of `count` queries took `ns` through the structures, giving up included.
    void note_structures(std::size_t k, std::size_t count, double ns);
    /// Structures are new: forget what others took.
    void forget_structures();

    void remember(Plan plan);
    Plan last() const;

  private:
    /// A running mean; a first guess until something was measured. It falls faster than it rises:
    /// caches that are cold and neighbours that are loud only ever add time.
    struct Measured {
        std::atomic<double> mean;
        std::atomic<bool> warm{false}, known{false};
        explicit Measured(double guess = 0) : mean(guess) {}
        void note(double value) {
            mean = known ? mean + (value - mean) * (value < mean ? 0.5 : 0.125) : value;
            known = true;
        }
    };
    Measured alone_{0.08}, among_many_{0.01};  // ns per byte: one query, and one of many
    static constexpr int kFewScans = 16, kManyScans = 256;
    /// Searches through structures, by the binary order of k.
    struct Tried {
        Measured cost;                           // ns per query
        std::atomic<int> scans_left{kFewScans};  // before they are tried again,
        std::atomic<int> patience{kFewScans};    // and how many there were last time
    };
    std::array<Tried, 64> structures_;
    Plan last_;  // read and written under publishing()
};

}  // namespace dsah
