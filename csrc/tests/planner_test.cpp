// Tests of the planner by itself, with times of our own in place of a clock's.
#include "planner.hpp"

#include <vector>

#include "check.hpp"

using namespace dsah;

namespace {

constexpr std::size_t kBytes = 8'000'000;  // of a scan

/// A machine on which a look-up and a scan always take the same.
struct Machine {
    Planner planner;
    double look_ns, scan_ns;  ///< per query
    unsigned threads = 1;
    double looking = 0, scanning = 0;  ///< ns spent so far

    Machine(double look, double scan) : look_ns(look), scan_ns(scan) {}

    /// One search; returns its steps.
    std::vector<Step> search(std::size_t count, std::size_t k) {
        Goal goal;
        goal.k = k;
        return search(count, goal);
    }

    std::vector<Step> search(std::size_t count, const Goal& goal) {
        std::vector<Step> steps;
        for (std::size_t done = 0; done < count;) {
            const Step step = planner.next_step(goal, kBytes, count, count - done, threads);
            CHECK(step.queries > 0 && step.queries <= count - done);
            const auto queries = static_cast<double>(step.queries);
            if (step.scan) {
                planner.note_scan(goal, kBytes, step.queries, scan_ns * queries, true);
                scanning += scan_ns * queries;
            } else {
                planner.note_structures(goal, step.queries, threads, look_ns);
                looking += look_ns * queries;
            }
            done += step.queries;
            steps.push_back(step);
        }
        return steps;
    }
};

void a_batch_pays_for_a_slice_only() {
    for (const bool scan_wins : {true, false}) {
        Machine machine(scan_wins ? 80'000 : 20'000, 40'000);
        for (int i = 0; i < 2; ++i) machine.search(256, 10);
        // Everything is known now: a search is one step, by the faster way.
        const std::vector<Step> steps = machine.search(256, 10);
        CHECK(steps.size() == 1 && steps[0].scan == scan_wins && steps[0].queries == 256);
        // Finding that out took some queries of the slower way.
        const double slower = scan_wins ? machine.looking : machine.scanning;
        CHECK(slower <= (scan_wins ? 80'000 * 2 * 16 : 40'000 * 128));
    }
}

void the_slower_way_costs_a_sixty_fourth() {
    for (const std::size_t count : {std::size_t{1}, std::size_t{256}})
        for (const double lead : {1.5, 30.0}) {
            Machine machine(40'000, 40'000 * lead);
            for (int i = 0; i < 20000; ++i) machine.search(count, 10);
            const double share = machine.scanning / machine.looking;
            CHECK(share < 1.5 / 64);
            CHECK(machine.scanning > 0 || lead > 2);
        }
}

void a_wrong_first_impression_is_corrected() {
    Machine machine(40'000, 400'000);
    for (int i = 0; i < 8; ++i) machine.search(256, 10);
    machine.scan_ns = 10'000;  // the machine was loud
    bool scans = false;
    for (int i = 0; i < 2000 && !scans; ++i) scans = machine.search(256, 10).back().scan;
    CHECK(scans);
    machine.look_ns = 1000;
    for (int i = 0; i < 2000 && scans; ++i) scans = machine.search(256, 10).back().scan;
    CHECK(!scans);
}

void each_order_of_k_is_learnt_and_forgotten() {
    Machine machine(80'000, 40'000);
    for (int i = 0; i < 3; ++i) machine.search(256, 10);
    CHECK(machine.search(256, 15)[0].scan);
    CHECK(!machine.search(256, 100)[0].scan);
    machine.planner.forget_structures();
    CHECK(!machine.search(256, 10)[0].scan);
}

void kinds_of_searches_do_not_mix() {
    Machine machine(80'000, 40'000);
    for (int i = 0; i < 3; ++i) machine.search(256, 10);
    CHECK(machine.search(256, 10).back().scan);
    Goal wide;  // lists nearly everything: a scan takes a hundred times as long, and so does a look
    wide.radius = 32;
    wide.bounded = true;
    machine.scan_ns *= 100;
    machine.look_ns *= 200;
    for (int i = 0; i < 3; ++i) machine.search(256, wide);
    machine.scan_ns /= 100;
    machine.look_ns /= 200;
    for (int i = 0; i < 3; ++i) CHECK(machine.search(256, 10).back().scan);
    wide.counts = true;  // counting is not listing
    CHECK(!machine.search(256, wide)[0].scan);
}

void threads_share_out_look_ups() {
    // On two threads 256 look-ups of 60 us beat scans of 40 us each; on one they do not.
    for (const unsigned threads : {1u, 2u}) {
        Machine machine(60'000.0 / threads, 40'000);
        machine.threads = threads;
        for (int i = 0; i < 3; ++i) machine.search(256, 10);
        CHECK(machine.search(256, 10)[0].scan == (threads == 1));
    }
}

}  // namespace

int main() {
    a_batch_pays_for_a_slice_only();
    the_slower_way_costs_a_sixty_fourth();
    a_wrong_first_impression_is_corrected();
    each_order_of_k_is_learnt_and_forgotten();
    kinds_of_searches_do_not_mix();
    threads_share_out_look_ups();
    std::puts("planner: all tests passed");
}
