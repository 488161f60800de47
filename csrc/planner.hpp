// Which way to search. Every way gives the same answer, so only time is at stake.
#pragma once

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

/// Costs as measured on this machine by the searches themselves.
class Planner {
  public:
    /// Expected time of one of `count` queries by a scan of `bytes` bytes.
    double scan_ns(std::size_t bytes, std::size_t count) const;
    void note_scan(std::size_t bytes, std::size_t count, double ns);

    /// Whether building would pay within some thousand searches like this one, whose answers
    /// reach out to `radii`; the reason is written to `reason`.
    bool worth_building(const Snapshot& snapshot, const Queries& queries,
                        const std::vector<std::uint32_t>& radii, std::string& reason) const;

    /// The plain scan for now: tables gave up on searches like this one.
    bool skip_tables(std::size_t k);
    void note_give_up(std::size_t k);

    void remember(Plan plan);
    Plan last() const;

  private:
    // ns per byte of one query alone, and of one among many; first guesses, then measured.
    std::atomic<double> alone_{0.08}, among_many_{0.01};
    std::atomic<std::size_t> skip_from_k_{kNoLimit};
    std::atomic<int> skips_left_{0};
    Plan last_;  // read and written under publishing()
};

}  // namespace dsah
