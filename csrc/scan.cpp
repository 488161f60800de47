#include "scan.hpp"

#include <atomic>
#include <memory>

#include "locks.hpp"

namespace dsah {
namespace {

constexpr std::size_t kBlockBytes = 32 * 1024;    // of the gallery: stays in the first-level cache
constexpr std::size_t kFirstRows = 128;           // few, so that the limit is tight soon
constexpr std::size_t kLooseRows = 4096;          // rows before which most limits are loose,
constexpr std::size_t kLooseness = 64;            // or this many times k
constexpr std::size_t kAhead = 8;                 // hits whose collector is fetched early
constexpr std::size_t kClaimBytes = 1024 * 1024;  // what a worker takes at a time
constexpr std::size_t kWorthThreads = 1024 * 1024;  // bytes x queries below which one thread does

struct Range {
    const Piece* piece;
    std::size_t begin, end;  // rows inside the piece
};

/// Scans ranges of rows for queries [q0, q1) with one worker's buffers.
class Worker {
  public:
    Worker(const Snapshot& snapshot, const Queries& queries, std::size_t q0, std::size_t q1,
           const std::uint64_t* eligible, const Loops& loops, Stop& stop)
        : layout_(snapshot.layout),
          queries_(queries),
          q0_(q0),
          q1_(q1),
          eligible_(eligible),
          loops_(loops),
          stop_(stop),
          block_rows_(std::max(kBlockRows, kBlockBytes / layout_.stride / kBlockRows * kBlockRows)),
          rows_(std::min(kFirstRows, block_rows_)),
          hits_(block_rows_ + kHitSlack) {}

    /// `found` holds the collector of query q0 and those after it.
    void run(const Range& range, TopK* found) {
        range.piece->parts(
            range.begin, range.end,
            [&](const std::uint8_t* codes, std::size_t base, std::size_t begin, std::size_t end) {
                for (std::size_t next; begin < end; begin = next) {
                    const bool batch = worth_a_batch(found);
                    next = std::min(end, begin + (batch ? kBatchRows : rows_));
                    rows_ = std::min(2 * rows_, block_rows_);
                    stop_.check();
                    const Block block{*range.piece, codes, base, begin, next};
                    batch ? together(block, found) : one_by_one(block, found);
                    seen_ += next - begin;
                }
            });
    }

  private:
    /// Rows [begin, end) of a piece, which lie at [begin - base, end - base) of `codes`.
    struct Block {
        const Piece& piece;
        const std::uint8_t* codes;
        std::size_t base, begin, end;
    };

    /// Many queries, with limits so tight that few rows are hits.
    bool worth_a_batch(const TopK* found) const {
        if (!loops_.batch || q1_ - q0_ < kBatchQueries) return false;
        const std::size_t k = found->k();
        return seen_ >= (k == kNoLimit ? kLooseRows : std::max(kLooseRows, kLooseness * k));
    }

    const std::uint64_t* eligible(const Block& block) const {
        return eligible_ ? eligible_ + (block.piece.first + block.base) / 64 : nullptr;
    }

    void one_by_one(const Block& block, TopK* found) {
        for (std::size_t q = q0_; q < q1_; ++q) {
            TopK& top = found[q - q0_];
            const std::int64_t limit = top.limit();
            if (limit < 0) continue;
            const std::size_t n = loops_.collect(
                layout_, block.codes, block.begin - block.base, block.end - block.base,
                queries_.at(q), static_cast<std::uint32_t>(limit), eligible(block), hits_.data());
            const std::int64_t above = queries_.above(q);
            for (std::size_t i = 0; i < n; ++i) {
                const std::int64_t id = block.piece.id(block.base + hits_[i].row);
                if (id > above) top.push(hits_[i].distance, id);
            }
        }
    }

    void together(const Block& block, TopK* found) {
        const std::size_t count = q1_ - q0_;
        if (!matrix_) {
            matrix_ = std::make_unique<QueryMatrix>(layout_, queries_.at(q0_), count);
            batch_hits_.reset(new BatchHit[kBatchRows * count]);
            for (std::size_t q = 0; q < count; ++q) matrix_->set_limit(q, found[q].limit());
        }
        const std::size_t n =
            loops_.batch(layout_, block.codes, block.begin - block.base, block.end - block.base,
                         *matrix_, eligible(block), batch_hits_.get());
        for (std::size_t i = 0; i < n; ++i) {
            const BatchHit& hit = batch_hits_[i];
            if (i + kAhead < n) found[batch_hits_[i + kAhead].query].expect();
            const std::int64_t id = block.piece.id(block.base + hit.row);
            if (id <= queries_.above(q0_ + hit.query)) continue;
            TopK& top = found[hit.query];
            top.push(hit.distance, id);
            matrix_->set_limit(hit.query, top.limit());
        }
    }

    const Layout& layout_;
    const Queries& queries_;
    std::size_t q0_, q1_;
    const std::uint64_t* eligible_;
    const Loops& loops_;
    Stop& stop_;
    std::size_t block_rows_;
    std::size_t rows_;
    std::size_t seen_ = 0;
    std::vector<Hit> hits_;
    std::unique_ptr<QueryMatrix> matrix_;
    std::unique_ptr<BatchHit[]> batch_hits_;  // not a vector: nothing is written that no hit needs
};

std::vector<Range> cut(const Snapshot& snapshot, std::size_t first_row, std::size_t rows_each) {
    std::vector<Range> ranges;
    for (const Piece& piece : snapshot.pieces) {
        if (piece.first + piece.rows <= first_row) continue;
        std::size_t begin = first_row > piece.first ? first_row - piece.first : 0;
        for (; begin < piece.rows; begin += rows_each)
            ranges.push_back({&piece, begin, std::min(piece.rows, begin + rows_each)});
    }
    return ranges;
}

/// Workers for so many parts.
unsigned no_more(unsigned threads, std::size_t parts) {
    return static_cast<unsigned>(std::min<std::size_t>(threads, parts));
}

}  // namespace

Queries Queries::select(const std::vector<char>& flags,
                        std::vector<std::int64_t>& above_out) const {
    Queries some;
    some.width = width;
    for (std::size_t q = 0; q < count; ++q) {
        if (!flags[q]) continue;
        some.lanes.insert(some.lanes.end(), at(q), at(q) + width);
        above_out.push_back(this->above(q));
        ++some.count;
    }
    some.only_above = above_out.data();
    return some;
}

void scan(const Snapshot& snapshot, std::size_t first_row, const Queries& queries,
          const std::uint64_t* eligible, const Loops& loops, unsigned threads, Stop& stop,
          std::vector<TopK>& found) {
    const Layout& layout = snapshot.layout;
    const std::size_t m = queries.count;
    if (first_row >= snapshot.span || m == 0) return;
    const std::size_t bytes = (snapshot.span - first_row) * layout.stride;
    if (bytes * m < kWorthThreads) threads = 1;

    if (threads == 1 || m >= 32 * threads) {
        // Many queries: each worker takes some of them through all rows, nothing to merge.
        const auto ranges = cut(snapshot, first_row, SIZE_MAX / 2);
        const std::size_t share = std::min<std::size_t>((m + threads - 1) / threads, 256);
        std::atomic<std::size_t> next{0};
        run_parallel(no_more(threads, (m + share - 1) / share), stop, [&](unsigned) {
            for (std::size_t q; (q = next.fetch_add(share)) < m;) {
                Worker worker(snapshot, queries, q, std::min(m, q + share), eligible, loops, stop);
                for (const Range& range : ranges) worker.run(range, found.data() + q);
            }
        });
        return;
    }
    // Few queries: workers share out the rows, always taking the next part, so that each sees
    // rising row numbers; their collectors are merged at the end.
    const std::size_t rows_each =
        std::max(kBlockRows, kClaimBytes / layout.stride / kBlockRows * kBlockRows);
    const auto ranges = cut(snapshot, first_row, rows_each);
    std::vector<TopK> parts;
    for (const TopK& whole : found) parts.push_back(whole.part());
    std::atomic<std::size_t> next{0};
    ForkSafeMutex merging;  // of those that can be stopped while they wait: results may be many
    run_parallel(no_more(threads, ranges.size()), stop, [&](unsigned) {
        Worker worker(snapshot, queries, 0, m, eligible, loops, stop);
        std::vector<TopK> mine = parts;
        for (std::size_t r; (r = next.fetch_add(1)) < ranges.size();)
            worker.run(ranges[r], mine.data());
        const Hold lock(merging, stop);
        for (std::size_t q = 0; q < m; ++q) found[q].absorb(mine[q], stop);
    });
}

}  // namespace dsah
