// Long calls: each can be stopped at once, changes nothing then, and hears soon in every phase.
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <numeric>
#include <random>
#include <thread>

#include "check.hpp"
#include "file.hpp"
#include "index.hpp"
#include "rows.hpp"

using namespace dsah;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kRows = 200'000;  // they are slow; here for what sanitizers see
constexpr double kAllowed = 4;          // seconds of CPU time
#else
constexpr std::size_t kRows = 4'000'000;
constexpr double kAllowed = 0.4;  // twice the promise: beside other work the same takes longer
#endif

using Bytes = std::vector<std::uint8_t>;
using Ids = std::vector<std::int64_t>;
using Call = std::function<void(Stop&)>;

std::string file_name() {
    return "stop-test-" + std::to_string(getpid()) + ".dsah";
}

Bytes random_codes(std::size_t rows) {
    std::mt19937_64 random(7);
    Bytes codes(8 * rows);
    for (std::size_t i = 0; i < rows; ++i) {
        const std::uint64_t code = random();
        std::memcpy(&codes[8 * i], &code, 8);
    }
    return codes;
}

/// Every id below n, in no order.
Ids shuffled_ids(std::size_t n) {
    Ids ids(n);
    std::iota(ids.begin(), ids.end(), 0);
    std::shuffle(ids.begin(), ids.end(), std::mt19937_64(3));
    return ids;
}

Request request(const Bytes& queries, std::size_t count, std::size_t k) {
    Request some;
    some.queries = queries.data();
    some.count = count;
    some.k = k;
    return some;
}

void check_stops_at_once(const Call& call) {
    Stop now([] { return true; });
    std::this_thread::sleep_for(std::chrono::milliseconds(55));  // it is asked every 50
    bool stopped = false;
    try {
        call(now);
    } catch (const Error& error) {
        stopped = error.fault == Fault::interrupted;
    }
    CHECK(stopped);
}

void test_stopped_calls_change_nothing() {
    Index index(Options{64, 1, 2, "", true}), other(Options{64, 1, 1, "", true});
    const std::size_t n = 20'000;
    const Bytes codes = random_codes(n);
    const Ids ids = shuffled_ids(n);
    const std::vector<float> weights(64, 1);
    const std::vector<std::size_t> rows(n, 5);
    Bytes out(8 * n);
    Ids ids_out(n);
    index.add(codes.data(), n, ids.data());
    other.add(codes.data(), n, nullptr);
    const std::string path = file_name();
    write_index(*index.snapshot(), {{"text", "some"}}, path);
    const auto before = index.snapshot();
    const Request deep = request(codes, 1, n);
    Request weighted = deep;
    weighted.weights = weights.data();
    const Call calls[] = {
        [&](Stop& stop) { index.add(codes.data(), n, nullptr, OnDuplicate::raise, stop); },
        [&](Stop& stop) { index.add(codes.data(), 5, ids.data(), OnDuplicate::replace, stop); },
        [&](Stop& stop) { index.merge(*other.snapshot(), OnDuplicate::skip, stop); },
        [&](Stop& stop) { index.remove(ids.data(), 100, stop); },
        [&](Stop& stop) { index.build(stop); },
        [&](Stop& stop) { index.search(*before, deep, stop); },
        [&](Stop& stop) { index.search(*before, weighted, stop); },
        [&](Stop& stop) { index.rows_of(*before, ids.data(), n, stop); },
        [&](Stop& stop) { write_index(*other.snapshot(), {}, path, stop); },
        [&](Stop& stop) { read_index(path, false, Verify::eager, stop); },
        [&](Stop& stop) {
            std::size_t next;
            live_rows(*before, 0, n, next, stop);
        },
        [&](Stop& stop) {
            std::vector<std::uint32_t> all(n);
            rows_by_id(*before, all.data(), stop);
        },
        [&](Stop& stop) { copy_codes(*before, rows, out.data(), stop); },
        [&](Stop& stop) { copy_ids(*before, rows, ids_out.data(), stop); },
    };
    for (const auto& call : calls) {
        check_stops_at_once(call);
        CHECK(index.snapshot() == before);
    }
    CHECK(read_index(path, false, Verify::eager).segment->ids);  // the old file is still there
    std::remove(path.c_str());
    Stop never;
    CHECK(index.search(*before, deep, never)[0].size() == n);
    CHECK(index.remove(ids.data(), 100) == 100);
}

void test_a_search_under_way_stops_on_all_threads() {
    Index index(Options{64, 1, 2, "", false});
    const Bytes codes = random_codes(200'000);
    index.add(codes.data(), 200'000, nullptr);
    const Request many = request(codes, 200'000, 5);
    int asked = 0;
    Stop second([&] { return ++asked == 2; });
    bool stopped = false;
    try {
        index.search(*index.snapshot(), many, second);
    } catch (const Error& error) {
        stopped = error.fault == Fault::interrupted;
    }
    CHECK(stopped && asked == 2);
    Stop never;
    CHECK(index.search(*index.snapshot(), request(codes, 1, 1), never)[0][0].id == 0);
}

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Runs a call to its end and looks for phases in which it would not have heard. In CPU time, so
/// that a busy machine changes nothing.
void check_hears(const char* name, const Call& call) {
    double last = cpu_seconds(), longest = 0;
    const auto ask = [&] {
        const double now = cpu_seconds();
        longest = std::max(longest, now - last);
        last = now;
        return false;
    };
    Stop stop(ask);
    call(stop);
    ask();
    if (longest >= kAllowed) std::fprintf(stderr, "%s: deaf for %.3f s\n", name, longest);
    CHECK(longest < kAllowed);
}

void check_searches(Index& index, const Bytes& codes, const std::string& what) {
    const std::vector<float> weights(2 * 64, 0.5f);
    const auto now = index.snapshot();
    for (const std::size_t k : {kRows, kNoLimit}) {
        const Request some = request(codes, 2, k);
        check_hears((what + ", deep search").c_str(),
                    [&](Stop& stop) { index.search(*now, some, stop); });
    }
    Request weighted = request(codes, 1, kRows);
    weighted.weights = weights.data();
    check_hears((what + ", deep weighted search").c_str(),
                [&](Stop& stop) { index.search(*now, weighted, stop); });
}

void test_every_phase_hears() {
    const Ids ids = shuffled_ids(kRows);
    for (const bool equal : {false, true}) {
        const Bytes codes = equal ? Bytes(8 * kRows, 0) : random_codes(kRows);
        const std::string what = equal ? "all equal" : "random";
        const auto hears = [&](const char* name, const Call& call) {
            check_hears((what + ", " + name).c_str(), call);
        };
        Index index(Options{64, 1, 2, "", false}), named(Options{64, 1, 2, "", true});
        const auto add = [&](Index& to, const std::int64_t* given) {
            return [&to, &codes, given](Stop& stop) {
                to.add(codes.data(), kRows, given, OnDuplicate::replace, stop);
            };
        };
        hears("add", add(index, nullptr));
        hears("add ids", add(named, ids.data()));
        hears("replace", add(named, ids.data()));
        check_searches(index, codes, what);
        hears("build", [&](Stop& stop) { named.build(stop); });
        check_searches(named, codes, what + ", built");
        hears("remove", [&](Stop& stop) { named.remove(ids.data(), kRows / 2, stop); });
        check_searches(named, codes, what + ", built, half removed");
        hears("build again", [&](Stop& stop) { named.build(stop); });
        const auto now = named.snapshot();
        hears("rows", [&](Stop& stop) {
            std::size_t next;
            const auto rows = live_rows(*now, 0, kRows, next, stop);
            CHECK(rows.size() == kRows - kRows / 2 && next == now->span);
            Bytes out(8 * rows.size());
            stop.check();
            copy_codes(*now, rows, out.data(), stop);
        });
        hears("compact", [&](Stop& stop) { named.compact(stop); });
        hears("merge",
              [&](Stop& stop) { named.merge(*index.snapshot(), OnDuplicate::skip, stop); });
        const std::string path = file_name();
        const Sections large = {{"large", std::string(8 * kRows, 'x')}};
        hears("save", [&](Stop& stop) { write_index(*named.snapshot(), large, path, stop); });
        hears("load", [&](Stop& stop) { read_index(path, false, Verify::eager, stop); });
        std::remove(path.c_str());
    }
}

}  // namespace

int main() {
    test_stopped_calls_change_nothing();
    test_a_search_under_way_stops_on_all_threads();
    test_every_phase_hears();
    std::puts("stop: all tests passed");
}
