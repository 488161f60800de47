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
    std::size_t fallbacks = 0;    ///< queries that tables gave up on
    double scanned_rows = 0;      ///< rows compared one by one, by all queries together
    Work work;                    ///< of all queries together
    double expected_scan_ns = 0;  ///< of one query by a plain scan
    double seconds = 0;
};

/// What a search is after. Searches of one kind take about the same time per query.
struct Goal {
    std::size_t k = kNoLimit;
    std::uint32_t radius = 0;
    bool bounded = false;  ///< the radius leaves codes out
    bool counts = false;   ///< only how many there are

    static constexpr std::size_t kKinds = 192;
    /// The nearest by the binary order of k; within a radius, by the radius, listed or counted.
    std::size_t kind() const;
};

/// What to do next for a search beside whose codes structures stand.
struct Step {
    bool scan;            ///< look at all codes rather than through the structures
    std::size_t queries;  ///< for so many queries; then ask again
};

/// Costs as measured on this machine by the searches themselves: the time of a call whose threads
/// have cores of their own (busy_ns), shared out over its queries.
///
/// What is not known yet is found out on a slice of a batch, so that no caller pays for more.
class Planner {
  public:
    static constexpr std::size_t kTries = 16;  ///< queries that tell what structures take

    /// Expected time of one of `count` queries by a scan of `bytes` bytes.
    double scan_ns(const Goal& goal, std::size_t bytes, std::size_t count) const;
    /// A scan of so many bytes took `ns`; an unusual one stands in until there was a usual one.
    void note_scan(const Goal& goal, std::size_t bytes, std::size_t count, double ns, bool usual);

    /// Whether building would pay within some thousand searches like this one, whose answers
    /// reach out to `radii`, on so many threads; the reason is written to `reason`.
    bool worth_building(const Snapshot& snapshot, const Goal& goal, const Queries& queries,
                        const std::vector<std::uint32_t>& radii, unsigned threads,
                        std::string& reason);

    /// The faster way, by measurement, for the `left` remaining ones of `count` queries on so many
    /// threads, where a scan takes `bytes` bytes. Now and then the slower way gets a
    /// slice, to see whether it still is, as soon as that costs next to nothing beside the rest.
    Step next_step(const Goal& goal, std::size_t bytes, std::size_t count, std::size_t left,
                   unsigned threads);
    /// One of `count` queries that structures answered on so many threads took `ns`, giving up
    /// included.
    void note_structures(const Goal& goal, std::size_t count, unsigned threads, double ns);
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
    /// What searches of one kind take.
    struct Costs {
        Measured look;                 // ns per query through structures, on one thread
        Measured alone, among_many;    // ns per byte of a scan: one query, and one of many
        std::atomic<double> spent{0};  // ns on searches since both ways were compared
    };
    const Measured& scan_cost(const Goal& goal, bool many) const;

    std::array<Costs, Goal::kKinds> costs_;
    Measured alone_{0.08}, among_many_{0.01};  // of scans for the nearest, of whichever kind
    /// Share of distinct codes; sorting the sample takes longer than many a search.
    double distinct(const Snapshot& snapshot);

    // Both are read and written under publishing().
    struct Sampled {
        std::uint64_t version = UINT64_MAX;  // of the snapshot
        double distinct = 1;
    } sampled_;
    Plan last_;
};

}  // namespace dsah
