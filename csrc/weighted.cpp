#include "weighted.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace dsah {
namespace {

constexpr std::size_t kRowsAtOnce = 4096;
constexpr int kFractionBits = 40;  // 4096 sums of up to 2^40 stay far below 2^63

struct Candidate {
    std::int64_t weighted;
    Ranked hamming;
};
bool operator<(const Candidate& a, const Candidate& b) {
    return a.weighted != b.weighted ? a.weighted < b.weighted : a.hamming < b.hamming;
}

/// The k smallest candidates: a heap with the worst on top.
class Best {
  public:
    explicit Best(std::size_t k) : k_(k) {}
    bool full() const { return heap_.size() == k_; }
    std::int64_t bound() const {
        return full() ? heap_.front().weighted : std::numeric_limits<std::int64_t>::max();
    }
    bool offer(const Candidate& candidate) {
        if (full()) {
            if (!(candidate < heap_.front())) return false;
            std::pop_heap(heap_.begin(), heap_.end());
            heap_.pop_back();
        }
        heap_.push_back(candidate);
        std::push_heap(heap_.begin(), heap_.end());
        return full();
    }
    std::vector<Ranked> finish(Stop& stop) {
        stoppable_sort(heap_.begin(), heap_.end(), std::less<Candidate>(), stop);
        std::vector<Ranked> ranked;
        ranked.reserve(heap_.size());
        in_steps(heap_.size(), 65536, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) ranked.push_back(heap_[i].hamming);
        });
        return ranked;
    }

  private:
    std::size_t k_;
    std::vector<Candidate> heap_;
};

/// Offers every row whose Hamming distance is in [low, reach]; `reach` shrinks with the bound.
void pass(const Snapshot& snapshot, const std::uint64_t* lanes, const Weights& weights,
          std::int64_t low, std::int64_t reach, const std::uint64_t* eligible, CollectFn collect,
          Best& best, Stop& stop) {
    const Layout& layout = snapshot.layout;
    std::vector<Hit> hits(kRowsAtOnce + kHitSlack);
    std::vector<std::uint8_t> code(layout.bytes);
    const auto offer = [&](const Piece& piece, const std::uint8_t* codes, std::size_t base,
                           std::size_t begin, std::size_t end) {
        const std::size_t n = collect(
            layout, codes, begin - base, end - base, lanes, static_cast<std::uint32_t>(reach),
            eligible ? eligible + (piece.first + base) / 64 : nullptr, hits.data());
        bool better = false;
        for (std::size_t i = 0; i < n; ++i) {
            if (hits[i].distance < low) continue;
            layout.fetch(codes, hits[i].row, code.data());
            better |= best.offer(
                {weights.distance(code.data()),
                 {static_cast<std::int32_t>(hits[i].distance), piece.id(base + hits[i].row)}});
        }
        if (better) reach = std::min<std::int64_t>(reach, weights.reach(best.bound()));
    };
    for (const Piece& piece : snapshot.pieces)
        piece.parts(
            0, piece.rows,
            [&](const std::uint8_t* codes, std::size_t base, std::size_t begin, std::size_t end) {
                for (; begin < end && reach >= low; begin += kRowsAtOnce) {
                    stop.check();
                    offer(piece, codes, base, begin, std::min(end, begin + kRowsAtOnce));
                }
            });
}

}  // namespace

Weights::Weights(const Layout& layout, const std::uint8_t* query, const float* activations)
    : query_(query, query + layout.bytes), sums_(std::size_t{layout.bytes} * 256, 0) {
    float largest = 0;
    for (std::uint32_t i = 0; i < layout.bits; ++i)
        largest = std::max(largest, std::fabs(activations[i]));
    int exponent = 0;
    std::frexp(largest, &exponent);
    std::vector<std::int64_t> weight(std::size_t{layout.bytes} * 8, 0);
    for (std::uint32_t i = 0; i < layout.bits; ++i)
        weight[i] = std::llrint(
            std::ldexp(std::fabs(static_cast<double>(activations[i])), kFractionBits - exponent));
    for (std::size_t byte = 0; byte < layout.bytes; ++byte)
        for (std::size_t value = 1; value < 256; ++value) {
            const int low = __builtin_ctzll(value);  // bit 7 - low of the byte, from the left
            sums_[byte * 256 + value] = sums_[byte * 256 + (value & (value - 1))] +
                                        weight[byte * 8 + 7 - static_cast<std::size_t>(low)];
        }
    weight.resize(layout.bits);
    std::sort(weight.begin(), weight.end());
    least_.push_back(0);
    for (const std::int64_t w : weight) least_.push_back(least_.back() + w);
}

std::uint32_t Weights::reach(std::int64_t bound) const {
    const auto beyond = std::upper_bound(least_.begin(), least_.end(), bound);
    return static_cast<std::uint32_t>(beyond - least_.begin()) - 1;
}

std::vector<Ranked> weighted_search(const Snapshot& snapshot, const std::uint8_t* query,
                                    const Weights& weights, std::size_t k, std::uint32_t reach_hint,
                                    const std::uint64_t* eligible, CollectFn collect, Stop& stop) {
    std::uint64_t lanes[kMaxLanes];
    snapshot.layout.spread(query, lanes);
    Best best(k);
    // The near levels fill the k places with good candidates, so that the far ones are cut short.
    pass(snapshot, lanes, weights, 0, reach_hint, eligible, collect, best, stop);
    const std::int64_t far = best.full() ? weights.reach(best.bound()) : snapshot.layout.bits;
    pass(snapshot, lanes, weights, std::int64_t{reach_hint} + 1, far, eligible, collect, best,
         stop);
    return best.finish(stop);
}

}  // namespace dsah
