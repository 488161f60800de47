// The write side of the index: each call makes the next snapshot and publishes it, or fails and
// leaves the present one.
#include <algorithm>
#include <limits>

#include "change.hpp"
#include "id_map.hpp"
#include "index.hpp"

namespace dsah {
namespace {

constexpr std::size_t kAtOnce = 16384;

/// What is left to add once ids that are present or given twice have been dealt with.
struct Kept {
    std::vector<std::uint8_t> codes;
    std::vector<std::int64_t> ids;
    std::vector<std::size_t> replaced;  // rows
    bool all = false;                   // everything is left: codes and ids are not filled in
};

struct Named {
    std::int64_t id;
    std::size_t place;  // in what was given
};

[[noreturn]] void refuse(std::int64_t id, bool present) {
    throw Error(Fault::usage, "id " + std::to_string(id) +
                                  (present ? " is already in the index" : " is given twice") +
                                  "; on_duplicate may be 'raise', 'skip' or 'replace'");
}

/// `rows` holds the present row of each id. Sorts rather than hashes: that can be stopped at once.
Kept without_duplicates(const Layout& layout, const std::uint8_t* packed, const GivenIds& ids,
                        const std::vector<std::size_t>& rows, OnDuplicate policy, Stop& stop) {
    std::vector<Named> sorted;
    sorted.reserve(ids.count);
    in_steps(ids.count, kAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) sorted.push_back({ids.data[i], i});
    });
    const auto less = [](const Named& a, const Named& b) {
        return a.id != b.id ? a.id < b.id : a.place < b.place;
    };
    stoppable_sort(sorted.begin(), sorted.end(), less, stop);
    Kept kept;
    std::vector<char> keep(ids.count, 0);
    std::size_t left = 0;
    in_steps(ids.count, kAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const bool first = i == 0 || sorted[i].id != sorted[i - 1].id;
            const std::size_t place = sorted[i].place;
            const bool present = rows[place] != kNoRow;
            if ((present || !first) && policy == OnDuplicate::raise) refuse(sorted[i].id, present);
            if (policy == OnDuplicate::replace) {  // the last one given wins
                keep[place] = i + 1 == ids.count || sorted[i + 1].id != sorted[i].id;
                if (keep[place] && present) kept.replaced.push_back(rows[place]);
            } else {
                keep[place] = first && !present;
            }
            left += keep[place] != 0;
        }
    });
    kept.all = left == ids.count;
    if (kept.all) return kept;
    kept.codes.reserve(left * layout.bytes);
    kept.ids.reserve(left);
    in_steps(ids.count, kAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            if (!keep[i]) continue;
            const std::uint8_t* code = packed + i * layout.bytes;
            kept.ids.push_back(ids.data[i]);
            kept.codes.insert(kept.codes.end(), code, code + layout.bytes);
        }
    });
    return kept;
}

void check_padding(const Layout& layout, const std::uint8_t* packed, std::size_t count,
                   Stop& stop) {
    in_steps(count, 65536, stop, [&](std::size_t begin, std::size_t end) {
        const std::size_t size = end - begin;
        const std::size_t dirty = layout.first_dirty(packed + begin * layout.bytes, size);
        if (dirty == size) return;
        throw Error(Fault::code, "code " + std::to_string(begin + dirty) +
                                     " has non-zero padding: the last " +
                                     std::to_string(layout.bytes * 8 - layout.bits) +
                                     " bits of its last byte must be zero (" +
                                     std::to_string(layout.bits) + "-bit codes)");
    });
}

}  // namespace

void Index::publish(std::shared_ptr<Snapshot> next) {
    ++next->version;
    std::shared_ptr<const Snapshot> last = std::move(next);
    const std::lock_guard<std::mutex> lock(publishing());
    snapshot_.swap(last);  // the old one goes after the lock
}

void Index::reserve(std::size_t rows, Stop& stop) {
    const Hold writer(writing_, stop);
    if (rows > kMaxRows)
        throw Error(Fault::usage, "reserve(" + std::to_string(rows) + "): at most " +
                                      std::to_string(kMaxRows) + " codes fit one index");
    auto next = std::make_shared<Snapshot>(*snapshot(stop));
    reserve_rows(*next, rows);
    publish(std::move(next));
}

std::size_t Index::add(const std::uint8_t* packed, std::size_t count, const std::int64_t* ids,
                       OnDuplicate on_duplicate, Stop& stop) {
    check_padding(layout_, packed, count, stop);
    GivenIds given(ids, count, stop);
    const Hold writer(writing_, stop);
    const auto now = snapshot(stop);
    const auto free_ids =
        static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() - now->next_id);
    if (!ids && free_ids < count)
        throw Error(Fault::usage, "ids must be from 0 to 2**63 - 2: only " +
                                      std::to_string(free_ids) + " are left above the largest");
    auto next = std::make_shared<Snapshot>(*now);
    Kept kept;
    // Rising ids beyond all present ones need no look-up: nothing can be a duplicate.
    if (ids && count && !(ids[0] >= now->next_id && given.rising)) {
        const auto rows = rows_of(*now, ids, count, stop);
        kept = without_duplicates(layout_, packed, given, rows, on_duplicate, stop);
        if (!kept.all) {
            given = GivenIds(kept.ids.data(), kept.ids.size(), stop);
            packed = kept.codes.data();
        }
    }
    if (given.count == 0) return 0;
    bury(*next, kept.replaced, stop);
    append(*next, packed, given, stop);
    ++changes_;
    publish(std::move(next));
    return given.count;
}

std::size_t Index::merge(const Snapshot& other, OnDuplicate on_duplicate, Stop& stop) {
    if (!(other.layout == layout_))
        throw Error(Fault::usage, "merge(): the other index holds codes of another form");
    const auto codes = Memory::allocate(other.live * layout_.bytes);
    std::vector<std::int64_t> ids;
    ids.reserve(other.live);
    other.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        layout_.fetch(piece.codes(), i, codes->data() + ids.size() * layout_.bytes);
        ids.push_back(piece.id(i));
    });
    return add(codes->data(), ids.size(), ids.data(), on_duplicate, stop);
}

std::size_t Index::remove(const std::int64_t* ids, std::size_t count, Stop& stop) {
    const Hold writer(writing_, stop);
    const auto now = snapshot(stop);
    std::vector<std::size_t> rows = rows_of(*now, ids, count, stop);
    rows.erase(std::remove(rows.begin(), rows.end(), kNoRow), rows.end());
    if (rows.empty()) return 0;
    auto next = std::make_shared<Snapshot>(*now);
    const std::size_t removed = bury(*next, rows, stop);
    ++changes_;
    publish(std::move(next));
    return removed;
}

void Index::compact(Stop& stop) {
    const Hold writer(writing_, stop);
    const auto now = snapshot(stop);
    if (now->alive || now->pieces.size() > 1) publish(compacted(*now, stop));
}

}  // namespace dsah
