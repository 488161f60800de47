// The search side of the tables: which buckets to look up, and how their entries are fetched.
#include <algorithm>
#include <array>
#include <cmath>

#include "flips.hpp"
#include "multi_index.hpp"

namespace dsah {
namespace {
constexpr std::size_t kLinesAhead = 32;  // of the cache: about as many as can be on their way
}

/// One query on its way through the tables.
///
/// Memory answers late: while the other halves of what passed one sieve are being fetched, the
/// next buckets are sifted, and only then what passed is weighed; the row numbers of what is near
/// enough wait for one round more.
class MultiIndex::Lookup {
  public:
    Lookup(const Snapshot& rows, std::uint64_t query, std::int64_t above, const Sifter& sifter,
           TopK& found, Stop& stop)
        : rows_(rows), query_(query), above_(above), sifter_(sifter), found_(found), stop_(stop) {}

    /// Takes in what lies in the buckets of one table at distance `flips`.
    Work probe(const Table& table, int flips, double bucket_size) {
        const Cut& cut = table.cut;
        const auto& masks = flips_of(cut.bucket.width, flips);
        Sieve sieve{};
        sieve.bounds = table.bounds;
        sieve.near = table.near;
        sieve.far = table.far;
        sieve.own = cut.bucket.of(query_);
        sieve.flips = masks.data();
        sieve.count = masks.size();
        sieve.distance = static_cast<std::uint32_t>(flips);
        sieve.near_low = sieve.distance + cut.chunk;
        sieve.lead = cut.half;
        sieve.near_query = static_cast<std::uint16_t>(cut.near.of(query_));
        sieve.far_query = cut.far.of(query_);
        sieve.lines = static_cast<std::uint32_t>(std::clamp(bucket_size / 32, 1.0, 16.0));
        sieve.one_line = table.bounds.unit && bucket_size < 32;
        sieve.ahead = std::max<std::size_t>(kLinesAhead / (sieve.lines + 1), 2);
        for (std::size_t i = 0; i < std::min(sieve.ahead, sieve.count); ++i) sieve.fetch(i);
        Place place;
        while (place.bucket < sieve.count) {
            stop_.check();
            const std::int64_t limit = found_.limit() - cut.half;
            const std::int64_t half = sieve.far ? limit / 2 : limit;
            if (limit < 0 || half < static_cast<std::int64_t>(sieve.distance + sieve.near_low))
                break;
            sieve.near_high = static_cast<std::uint32_t>(half) - sieve.distance;
            Batch& batch = batches_[turn_ ^= 1];
            batch.table = &table;
            batch.sieve = sieve;
            batch.count = sifter_.sift(sieve, place, batch.entries.data());
            weigh(batches_[turn_ ^ 1]);
        }
        return {static_cast<double>(place.bucket), static_cast<double>(place.seen)};
    }

    /// Takes in what is still on its way.
    void finish() {
        weigh(batches_[turn_]);
        push();
    }

  private:
    struct Batch {
        const Table* table;
        Sieve sieve;
        std::size_t count = 0;
        std::array<std::uint32_t, kSiftRoom + kSiftSlack> entries;
    };

    void weigh(Batch& batch) {
        push();
        const std::int64_t limit = found_.limit();
        if (batch.count == 0 || limit < 0) return;
        count_ = sifter_.weigh(batch.sieve, batch.entries.data(), batch.count,
                               static_cast<std::uint32_t>(limit), near_.data());
        numbers_ = batch.table->rows;
        for (std::size_t i = 0; i < count_; ++i) __builtin_prefetch(numbers_ + near_[i].entry);
        batch.count = 0;
    }

    void push() {
        for (std::size_t i = 0; i < count_; ++i) {
            const std::size_t row = numbers_[near_[i].entry];
            if (!rows_.is_alive(row)) continue;
            const std::int64_t id = rows_.id(row);
            if (id > above_) found_.push(near_[i].distance, id);
        }
        count_ = 0;
    }

    const Snapshot& rows_;
    const std::uint64_t query_;
    const std::int64_t above_;
    const Sifter& sifter_;
    TopK& found_;
    Stop& stop_;
    std::array<Batch, 2> batches_;
    std::size_t turn_ = 0;
    std::array<Weighed, kSiftRoom> near_;
    std::size_t count_ = 0;
    const std::uint32_t* numbers_ = nullptr;
};

bool MultiIndex::probe_all(Lookup& lookup, double budget_ns, const TopK& found, Work& work) const {
    const int m = static_cast<int>(tables_.size());
    const double start_ns = work.ns();
    for (int step = 0; step < m * (kMaxFlips + 1); ++step) {
        const int flips = step / m;
        const Table& table = tables_[static_cast<std::size_t>(step % m)];
        // Before a costly step, all that would tell whether it is needed.
        if (flips > 1) lookup.finish();
        if (found.limit() < 0) return true;
        // The steps so far have found everything at a distance below `step`.
        if (found.radius() < step) break;
        const int width = table.cut.bucket.width;
        const double bucket_size = std::ldexp(static_cast<double>(rows_), -width);
        Work next;
        next.probes = binomial(width, flips);
        next.candidates = next.probes * bucket_size;
        if (work.ns() + next.ns() - start_ns > budget_ns) return false;
        work += lookup.probe(table, flips, bucket_size);
    }
    lookup.finish();
    return found.radius() < m * (kMaxFlips + 1);
}

bool MultiIndex::search(const Snapshot& rows, std::uint64_t query, std::int64_t above,
                        const Sifter& sifter, double budget_ns, TopK& found, Work& work,
                        Stop& stop) const {
    query = without_padding(layout_, query);
    const bool ranked = found.k() != kNoLimit;
    const std::int64_t guess = ranked ? reach_.guess(found.k()) : found.radius();
    if (guess < found.radius()) {
        TopK within = found.within(static_cast<std::uint32_t>(guess));
        Lookup lookup(rows, query, above, sifter, within, stop);
        const double start_ns = work.ns();
        const bool done = probe_all(lookup, budget_ns, within, work);
        if (done && within.full()) {
            found = std::move(within);
            reach_.note(found.k(), guess, found.radius());
            return true;
        }
        budget_ns -= work.ns() - start_ns;
    }
    Lookup lookup(rows, query, above, sifter, found, stop);
    const bool done = probe_all(lookup, budget_ns, found, work);
    // Where there are fewer than k, the radius is what was asked for, and no reach.
    if (done && ranked && found.full()) reach_.note(found.k(), guess, found.radius());
    return done;
}

}  // namespace dsah
