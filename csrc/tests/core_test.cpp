// Tests of the core that need no Python, so that they run under every sanitizer.
#include <unistd.h>

#include <cstdio>
#include <numeric>
#include <random>
#include <thread>

#include "check.hpp"
#include "file.hpp"
#include "hash64.hpp"
#include "index.hpp"

using namespace dsah;

namespace {

std::mt19937_64 g_random(7);
using Bytes = std::vector<std::uint8_t>;

/// Codes of which about half repeat.
Bytes random_codes(const Layout& layout, std::size_t n) {
    Bytes codes(n * layout.bytes);
    const unsigned spare = layout.bytes * 8 - layout.bits;
    for (std::size_t i = 0; i < n; ++i) {
        std::uint8_t* code = &codes[i * layout.bytes];
        if (i && g_random() % 2) {
            std::memcpy(code, &codes[g_random() % i * layout.bytes], layout.bytes);
            continue;
        }
        for (unsigned b = 0; b < layout.bytes; ++b) code[b] = static_cast<std::uint8_t>(g_random());
        code[layout.bytes - 1] =
            static_cast<std::uint8_t>(code[layout.bytes - 1] >> spare << spare);
    }
    return codes;
}

std::int32_t distance(const Layout& layout, const std::uint8_t* a, const std::uint8_t* b) {
    std::int32_t count = 0;
    for (unsigned s = 0; s < layout.bits; s += layout.symbol_bits) {
        bool differ = false;
        for (unsigned i = s; i < s + layout.symbol_bits; ++i)
            differ = differ || ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1);
        count += differ;
    }
    return count;
}

std::vector<Ranked> expected(const Layout& layout, const Bytes& codes,
                             const std::vector<std::int64_t>& ids, const std::uint8_t* query,
                             std::size_t k) {
    std::vector<Ranked> all;
    for (std::size_t i = 0; i < ids.size(); ++i)
        all.push_back({distance(layout, &codes[i * layout.bytes], query), ids[i]});
    std::sort(all.begin(), all.end());
    all.resize(std::min(k, all.size()));
    return all;
}

bool same(const std::vector<Ranked>& a, const std::vector<Ranked>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](auto& x, auto& y) {
               return x.distance == y.distance && x.id == y.id;
           });
}

std::vector<std::vector<Ranked>> ask(Index& index, const Bytes& queries, std::size_t k) {
    Request request;
    request.queries = queries.data();
    request.count = queries.size() / index.layout().bytes;
    request.k = k;
    Stop never;
    return index.search(*index.snapshot(), request, never);
}

void test_searches_equal_the_obvious() {
    for (const Kernel* kernel : available_kernels())
        for (const unsigned symbol_bits : {1u, 2u, 4u, 8u})
            for (const unsigned bits : {5u, 8u, 12u, 16u, 24u, 32u, 48u, 64u, 72u, 104u, 256u}) {
                if (bits % symbol_bits) continue;
                Options options{bits, symbol_bits, 2, kernel->name, true};
                for (const std::size_t n : {0, 1, 64, 65, 700}) {
                    Index index(options);
                    const Bytes codes = random_codes(index.layout(), n);
                    const Bytes queries = random_codes(index.layout(), 2);
                    std::vector<std::int64_t> ids(n);
                    for (std::size_t i = 0; i < n; ++i)
                        ids[i] = static_cast<std::int64_t>(n - i) * 3;
                    index.add(codes.data(), n, ids.data());
                    Stop never;
                    for (int built = 0; built < 2; ++built) {
                        const auto found = ask(index, queries, 20);
                        for (std::size_t q = 0; q < 2; ++q)
                            CHECK(same(found[q], expected(index.layout(), codes, ids,
                                                          &queries[q * index.layout().bytes], 20)));
                        index.build(never);
                    }
                }
            }
}

/// Large enough for the matrix unit, where there is one, and for two workers.
void test_batches_equal_the_obvious() {
    for (const Kernel* kernel : available_kernels())
        for (const unsigned bits : {32u, 64u, 136u}) {
            Index index(Options{bits, 1, 2, kernel->name, false});
            const std::size_t n = 4096 + 2048 + 77;
            const Bytes codes = random_codes(index.layout(), n);
            const Bytes queries = random_codes(index.layout(), 41);
            std::vector<std::int64_t> ids(n);
            for (std::size_t i = 0; i < n; ++i) ids[i] = static_cast<std::int64_t>(i);
            index.add(codes.data(), n, nullptr);
            for (int again = 0; again < 2; ++again) {  // the second knows how far answers reach
                const auto found = ask(index, queries, 20);
                for (std::size_t q = 0; q < found.size(); ++q)
                    CHECK(same(found[q], expected(index.layout(), codes, ids,
                                                  &queries[q * index.layout().bytes], 20)));
            }
        }
}

void test_files_come_back_whole() {
    const std::string path = "core-test-" + std::to_string(getpid()) + ".dsah";
    for (const unsigned bits : {12u, 64u, 72u})
        for (const bool mapped : {false, true}) {
            Index index(Options{bits, 1, 1, "", true});
            const Bytes codes = random_codes(index.layout(), 300);
            index.add(codes.data(), 300, nullptr);
            const std::int64_t gone[] = {0, 5, 299};
            CHECK(index.remove(gone, 3) == 3);
            write_index(*index.snapshot(), {{"a", "bytes"}}, path);
            const IndexFile file = read_index(path, mapped, Verify::lazy);
            CHECK(file.sections.at("a") == "bytes" && file.rows == 297);
            Index again(Options{bits, 1, 1, "", true});
            again.adopt(file, false);
            const auto before = ask(index, codes, 5), after = ask(again, codes, 5);
            for (std::size_t q = 0; q < before.size(); ++q) CHECK(same(before[q], after[q]));
            again.add(codes.data(), 1, nullptr);
            CHECK(again.snapshot()->pieces.back().last_id == 300);
        }
    std::remove(path.c_str());
}

void test_readers_and_a_writer() {
    Index index(Options{64, 1, 2, "", true});
    const Bytes codes = random_codes(index.layout(), 2000);
    std::atomic<bool> done{false};
    std::vector<std::thread> readers;
    for (int r = 0; r < 3; ++r)
        readers.emplace_back([&, r] {
            for (std::size_t i = static_cast<std::size_t>(r); !done; i = (i + 1) % 2000) {
                const auto found = ask(index, Bytes(&codes[8 * i], &codes[8 * i] + 8), 3);
                CHECK(std::is_sorted(found[0].begin(), found[0].end()));
                // Ids are looked up in the very state that was taken, whatever came since.
                const auto now = index.snapshot();
                std::vector<std::int64_t> ids(40);
                std::iota(ids.begin(), ids.end(), static_cast<std::int64_t>(i));
                const auto rows = index.rows_of(*now, ids.data(), ids.size());
                std::size_t there = 0;
                for (std::size_t j = 0; j < rows.size(); ++j)
                    if (rows[j] != kNoRow) {
                        CHECK(now->is_alive(rows[j]) && now->id(rows[j]) == ids[j]);
                        ++there;
                    }
                now->for_each_live([&](std::size_t, const Piece& piece, std::size_t row) {
                    there -= piece.id(row) >= ids.front() && piece.id(row) <= ids.back();
                });
                CHECK(there == 0);
            }
        });
    Stop never;
    for (std::size_t i = 0; i < 2000; ++i) {
        const auto id = static_cast<std::int64_t>((i * 7919) % 2000);
        index.add(&codes[8 * i], 1, &id, OnDuplicate::replace);
        if (i % 300 == 50) index.build(never);
        if (i % 500 == 70) index.compact();
        if (i % 3 == 0) index.remove(&id, 1);
    }
    done = true;
    for (auto& reader : readers) reader.join();
    CHECK(index.size() == 2000 - 667);
}

/// Long runs, single ids and reserved memory: pieces pass on what they leave, and give back the
/// rest.
void test_readers_while_pieces_come_and_go() {
    Index index(Options{16, 1, 2, "", false});
    const Bytes zeros(2 * 5000, 0);
    std::atomic<bool> done{false};
    std::vector<std::thread> readers;
    for (int r = 0; r < 2; ++r)
        readers.emplace_back([&] {
            while (!done) {
                const auto now = index.snapshot();
                Request request;
                request.queries = zeros.data();
                request.count = 1;
                request.k = now->live;
                Stop never;
                const auto found = index.search(*now, request, never)[0];
                CHECK(found.size() == now->live);
                std::vector<std::int64_t> ids;
                for (std::size_t i = 0; i < found.size(); i += 97) ids.push_back(found[i].id);
                for (std::size_t row : index.rows_of(*now, ids.data(), ids.size()))
                    CHECK(row != kNoRow);
            }
        });
    std::int64_t next = 0;
    for (std::size_t i = 0; i < 150; ++i) {
        if (i % 7 == 3) index.reserve(20'000);
        if (i % 50 == 49) index.compact();
        std::vector<std::int64_t> ids(i % 3 ? 5000 : 1);
        std::iota(ids.begin(), ids.end(), next + 1);
        CHECK(index.add(zeros.data(), ids.size(), ids.data()) == ids.size());
        if (i % 4 == 0) CHECK(index.add(zeros.data(), 1, &next) == 1);
        next = ids.back() + 3;
    }
    done = true;
    for (auto& reader : readers) reader.join();
    CHECK(index.size() == 50 + 100 * 5000 + 38);
}

/// A worker that leaves the work to another must not make it look cheap.
void test_shared_work_counts_for_each_who_shared() {
    Stop never;
    std::atomic<bool> helped{false};
    const double start = busy_ns();
    run_parallel(2, never, [&](unsigned worker) {
        if (worker == 0) {
            while (!helped) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            return;
        }
        const double begin = busy_ns();
        while (busy_ns() - begin < 60e6) {
        }
        helped = true;
    });
    const double each = busy_ns() - start;
    CHECK(each > 25e6 && each < 60e6);
}

void test_checksum_is_xxh64() {
    CHECK(Hash64::of("", 0) == 0xEF46DB3751D8E999u);  // published test vectors
    CHECK(Hash64::of("abc", 3) == 0x44BC2CF5AD770999u);
    const std::string text(1000, 'x');
    Hash64 pieces;
    for (std::size_t i = 0; i < 1000; i += 37)
        pieces.update(text.data() + i, std::min<std::size_t>(37, 1000 - i));
    CHECK(pieces.digest() == Hash64::of(text.data(), 1000));
}

}  // namespace

int main() {
    test_checksum_is_xxh64();
    test_searches_equal_the_obvious();
    test_batches_equal_the_obvious();
    test_files_come_back_whole();
    test_readers_and_a_writer();
    test_readers_while_pieces_come_and_go();
    test_shared_work_counts_for_each_who_shared();
    std::puts("core: all tests passed");
}
