#include "scan.hpp"

#include <atomic>
#include <mutex>

namespace dsah {
namespace {

constexpr std::size_t kBlockBytes = 32 * 1024;    // of the gallery: stays in the first-level cache
constexpr std::size_t kFirstRows = 128;           // few, so that the limit is tight soon
constexpr std::size_t kClaimBytes = 1024 * 1024;  // what a worker takes at a time
constexpr std::size_t kWorthThreads = 1024 * 1024;  // bytes x queries below which one thread does

struct Range {
    const Piece* piece;
    std::size_t begin, end;  // rows inside the piece
};

/// Scans ranges of rows for queries [q0, q1) with one worker's collectors and hit buffer.
class Worker {
  public:
    Worker(const Snapshot& snapshot, const Queries& queries, const std::uint64_t* eligible,
           CollectFn collect, Stop& stop)
        : layout_(snapshot.layout),
          queries_(queries),
          eligible_(eligible),
          collect_(collect),
          stop_(stop),
          block_rows_(std::max(kBlockRows, kBlockBytes / layout_.stride / kBlockRows * kBlockRows)),
          rows_(std::min(kFirstRows, block_rows_)),
          hits_(block_rows_ + kHitSlack) {}

    void run(const Range& range, std::size_t q0, std::size_t q1, TopK* found) {
        range.piece->parts(
            range.begin, range.end,
            [&](const std::uint8_t* codes, std::size_t base, std::size_t begin, std::size_t end) {
                for (std::size_t next; begin < end; begin = next) {
                    next = std::min(end, begin + rows_);
                    rows_ = std::min(2 * rows_, block_rows_);
                    stop_.check();
                    block(*range.piece, codes, base, begin, next, q0, q1, found);
                }
            });
    }

  private:
    /// Rows [begin, end) of a piece, which lie at [begin - base, end - base) of `codes`.
    void block(const Piece& piece, const std::uint8_t* codes, std::size_t base, std::size_t begin,
               std::size_t end, std::size_t q0, std::size_t q1, TopK* found) {
        const std::uint64_t* eligible = eligible_ ? eligible_ + (piece.first + base) / 64 : nullptr;
        for (std::size_t q = q0; q < q1; ++q) {
            TopK& top = found[q - q0];
            const std::int64_t limit = top.limit();
            if (limit < 0) continue;
            const std::size_t n =
                collect_(layout_, codes, begin - base, end - base, queries_.at(q),
                         static_cast<std::uint32_t>(limit), eligible, hits_.data());
            const std::int64_t above = queries_.above(q);
            for (std::size_t i = 0; i < n; ++i) {
                const std::int64_t id = piece.id(base + hits_[i].row);
                if (id > above) top.push(hits_[i].distance, id);
            }
        }
    }

    const Layout& layout_;
    const Queries& queries_;
    const std::uint64_t* eligible_;
    CollectFn collect_;
    Stop& stop_;
    std::size_t block_rows_;
    std::size_t rows_;
    std::vector<Hit> hits_;
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

}  // namespace

void scan(const Snapshot& snapshot, std::size_t first_row, const Queries& queries,
          const std::uint64_t* eligible, CollectFn collect, unsigned threads, Stop& stop,
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
        run_parallel(threads, stop, [&](unsigned) {
            for (std::size_t q; (q = next.fetch_add(share)) < m;) {
                Worker worker(snapshot, queries, eligible, collect, stop);
                for (const Range& range : ranges)
                    worker.run(range, q, std::min(m, q + share), found.data() + q);
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
    std::mutex merging;
    run_parallel(threads, stop, [&](unsigned) {
        Worker worker(snapshot, queries, eligible, collect, stop);
        std::vector<TopK> mine = parts;
        for (std::size_t r; (r = next.fetch_add(1)) < ranges.size();)
            worker.run(ranges[r], 0, m, mine.data());
        const std::lock_guard<std::mutex> lock(merging);
        for (std::size_t q = 0; q < m; ++q) found[q].absorb(mine[q]);
    });
}

}  // namespace dsah
