// Tests of multi-index hashing by itself: each kernel's sieve against plain
// loops, and tables against all distances, with no planner that could turn to a
// scan.
#include <random>

#include "check.hpp"
#include "flips.hpp"
#include "index.hpp"
#include "multi_index.hpp"

using namespace dsah;

namespace {

std::mt19937_64 g_random(11);

std::uint32_t ones(std::uint64_t x) {
    return static_cast<std::uint32_t>(__builtin_popcountll(x));
}

/// A value near `centre`: few of its bits are flipped.
std::uint64_t near(std::uint64_t centre, int width, unsigned flips) {
    for (unsigned i = g_random() % (flips + 1); i; --i)
        centre ^= std::uint64_t{1} << g_random() % static_cast<unsigned>(width);
    return centre;
}

using Sizes = std::vector<std::uint32_t>;
/// None, one, around a register; with what one call does not take; such that a block is full.
const Sizes kSizes[] = {
    {0, 0, 1, 15, 16, 17, 31, 32}, {0, 0, 1, 15, 16, 17, 31, 32, 33, 64, 300, 1000}, {31, 32}};

struct Buckets {
    std::vector<std::uint32_t> words, far;
    std::vector<std::uint16_t> near_values;
    std::uint32_t unit;
    Buckets(int width, std::uint32_t unit_, const Sizes& sizes, std::uint16_t near_query,
            std::uint32_t far_query)
        : unit(unit_) {
        std::uint32_t place = 0;
        const std::uint32_t step = 1u << unit;
        for (int b = 0; b < 1 << width; ++b) {
            words.push_back(place >> unit << Bounds::kFreeBits);
            const std::uint32_t end = place + sizes[g_random() % sizes.size()];
            place = (end + step - 1) / step * step;
            if (unit && place - end + step <= Bounds::kFree && g_random() % 2) place += step;
            words.back() |= place - end;
        }
        words.push_back(place >> unit << Bounds::kFreeBits);
        for (std::uint32_t i = 0; i < place; ++i) {
            near_values.push_back(static_cast<std::uint16_t>(near(near_query, 16, 16)));
            far.push_back(static_cast<std::uint32_t>(near(far_query, 32, 32)));
        }
        near_values.resize(near_values.size() + kSiftSlack);
    }
};

/// What sift and weigh must find, in the order of the buckets.
std::vector<Weighed> expected(const Sieve& sieve, std::uint32_t limit) {
    std::vector<Weighed> all;
    for (std::size_t b = 0; b < sieve.count; ++b)
        for (std::uint32_t i = sieve.bounds.begin(sieve.bucket(b));
             i < sieve.bounds.end(sieve.bucket(b)); ++i) {
            const std::uint32_t rest = ones(sieve.near[i] ^ sieve.near_query);
            const std::uint32_t half = sieve.distance + rest;
            const std::uint32_t other = sieve.far ? ones(sieve.far[i] ^ sieve.far_query) : 0;
            const bool leads = !sieve.far || other >= half + sieve.lead;
            if (rest >= sieve.near_low && rest <= sieve.near_high && leads && half + other <= limit)
                all.push_back({i, half + other});
        }
    return all;
}

std::vector<Weighed> found(const Sifter& sifter, const Sieve& sieve, std::uint32_t limit) {
    std::vector<Weighed> all;
    std::vector<std::uint32_t> entries(kSiftRoom + kSiftSlack);
    Place place;
    while (place.bucket < sieve.count) {
        const std::size_t n = sifter.sift(sieve, place, entries.data());
        CHECK(n <= kSiftRoom);
        std::vector<Weighed> some(n);
        some.resize(sifter.weigh(sieve, entries.data(), n, limit, some.data()));
        all.insert(all.end(), some.begin(), some.end());
    }
    std::size_t entries_in_all = 0;
    for (std::size_t b = 0; b < sieve.count; ++b)
        entries_in_all += sieve.bounds.end(sieve.bucket(b)) - sieve.bounds.begin(sieve.bucket(b));
    CHECK(place.seen == entries_in_all && place.done == 0);
    return all;
}

void test_kernels_sift_alike() {
    for (int round = 0; round < 120; ++round) {
        const int width = 8;
        const auto near_query = static_cast<std::uint16_t>(g_random());
        const auto far_query = static_cast<std::uint32_t>(g_random());
        const Buckets buckets(width, static_cast<std::uint32_t>(g_random() % 6),
                              kSizes[g_random() % 3], near_query, far_query);
        Sieve sieve{};
        sieve.bounds = {buckets.words.data(), buckets.unit};
        sieve.near = buckets.near_values.data();
        sieve.far = round % 3 ? buckets.far.data() : nullptr;
        sieve.own = static_cast<std::uint32_t>(g_random() % 256);
        sieve.distance = static_cast<std::uint32_t>(round % (kMaxFlips + 1));
        const auto& masks = flips_of(width, static_cast<int>(sieve.distance));
        sieve.flips = masks.data();
        sieve.count = masks.size();
        sieve.near_low = static_cast<std::uint32_t>(g_random() % 5) * (round % 2);
        sieve.near_high =
            round % 7 ? sieve.near_low + static_cast<std::uint32_t>(g_random() % 9) : 16;
        sieve.lead = static_cast<std::uint32_t>(round & 1);
        sieve.near_query = near_query;
        sieve.far_query = far_query;
        sieve.one_line = g_random() % 2;
        sieve.lines = 1 + static_cast<std::uint32_t>(round % 4);
        sieve.ahead = 2 + static_cast<std::size_t>(round % 30);
        for (const std::uint32_t limit : {0u, 5u, 12u, 20u, 64u}) {
            const std::vector<Weighed> right = expected(sieve, limit);
            for (const Kernel* kernel : available_kernels()) {
                const std::vector<Weighed> got = found(kernel->sifter, sieve, limit);
                CHECK(got.size() == right.size());
                for (std::size_t i = 0; i < got.size(); ++i)
                    CHECK(got[i].entry == right[i].entry && got[i].distance == right[i].distance);
            }
        }
    }
}

void test_flips_are_all_and_once() {
    for (int width = 1; width <= kMaxChunk; ++width)
        for (int count = 0; count <= kMaxFlips; ++count) {
            const auto& masks = flips_of(width, count);
            CHECK(static_cast<double>(masks.size()) == binomial(width, count));
            for (std::size_t i = 0; i < masks.size(); ++i)
                CHECK(static_cast<int>(ones(masks[i])) == count && masks[i] >> width == 0 &&
                      (i == 0 || masks[i] > masks[i - 1]));
        }
}

/// Packed codes in clusters, with spare bits zero.
std::vector<std::uint8_t> clustered(const Layout& layout, std::size_t n, unsigned flips) {
    const std::uint64_t centres[] = {g_random(), g_random(), 0, ~std::uint64_t{0}};
    std::vector<std::uint8_t> codes(n * layout.bytes);
    const unsigned spare = layout.bytes * 8 - layout.bits;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t code = near(centres[g_random() % 4], 64, flips);
        std::uint8_t* packed = &codes[i * layout.bytes];
        std::memcpy(packed, &code, layout.bytes);
        packed[layout.bytes - 1] =
            static_cast<std::uint8_t>(packed[layout.bytes - 1] >> spare << spare);
    }
    return codes;
}

void test_tables_find_all() {
    std::size_t answered = 0, asked = 0;
    for (const unsigned bits : {17u, 23u, 24u, 31u, 32u, 33u, 40u, 47u, 48u, 57u, 63u, 64u})
        for (const std::size_t n : {128, 3000, 20000}) {
            if (n > 3000 && bits % 16 != 1) continue;  // few buckets: those hold many codes
            Index index(Options{bits, 1, 2, "", false});
            const Layout& layout = index.layout();
            const auto codes = clustered(layout, n, 6), queries = clustered(layout, 12, 6);
            index.add(codes.data(), n, nullptr);
            Stop never;
            const MultiIndex tables(*index.snapshot(), 2, never);
            CHECK(tables.bytes() <= MultiIndex::expected_bytes(layout, n) + 4096 * tables.chunks());
            const std::int64_t gone[] = {3, 20, 63};
            index.remove(gone, 3);
            const auto rows = index.snapshot();
            for (const Kernel* kernel : available_kernels())
                for (std::size_t q = 0; q < 12; ++q)
                    for (const std::size_t k : {std::size_t{1}, std::size_t{20}, kNoLimit}) {
                        std::uint64_t lane = 0;
                        layout.spread(&queries[q * layout.bytes], &lane);
                        const std::int64_t above = q % 3 ? -1 : 30;
                        const std::uint32_t radius = k == kNoLimit ? 9 : 64;
                        TopK top(k, radius, false), right(k, radius, false);
                        for (std::size_t i = 0; i < n; ++i) {
                            std::uint64_t code = 0;
                            layout.spread(&codes[i * layout.bytes], &code);
                            const auto id = static_cast<std::int64_t>(i);
                            if (id > above && rows->is_alive(i)) right.push(ones(code ^ lane), id);
                        }
                        Work work;
                        ++asked;
                        if (!tables.search(*rows, lane, above, kernel->sifter, 1e18, top, work,
                                           never))
                            continue;
                        ++answered;
                        const auto a = top.finish(), b = right.finish();
                        CHECK(a.size() == b.size());
                        for (std::size_t i = 0; i < a.size(); ++i)
                            CHECK(a[i].distance == b[i].distance && a[i].id == b[i].id);
                    }
        }
    CHECK(answered * 4 > asked * 3);
}

}  // namespace

int main() {
    test_flips_are_all_and_once();
    test_kernels_sift_alike();
    test_tables_find_all();
    std::puts("tables: all tests passed");
}
