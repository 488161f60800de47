#include "index.hpp"

#include "change.hpp"
#include "id_map.hpp"
#include "limits.hpp"

namespace dsah {

Index::Index(const Options& options)
    : layout_(options.bits, options.symbol_bits),
      kernel_(pick_kernel(options.isa)),
      loops_(kernel_.loops(layout_)),
      threads_(options.threads ? options.threads : available_cores()),
      sublinear_(options.sublinear),
      snapshot_(empty_snapshot(layout_)) {}

std::shared_ptr<const Snapshot> Index::snapshot(Stop& stop) const {
    if (!verified_) {
        const Hold once(verifying_, stop);
        if (!verified_) unverified_->verify(stop);
        verified_ = true;
    }
    return present();
}

std::shared_ptr<const Snapshot> Index::present() const {
    const std::lock_guard<std::mutex> lock(publishing());
    return snapshot_;
}

void Index::adopt(const IndexFile& file, bool verified) {
    const Hold writer(writing_, Stop::never());
    auto next = std::make_shared<Snapshot>(*present());
    if (next->span) throw Error(Fault::usage, "adopt() needs an empty index");
    next->next_id = file.next_id;
    next->ascending = file.ascending;
    if (file.rows) {
        Piece piece;
        piece.segment = file.segment;
        piece.rows = file.rows;
        piece.last_id = piece.id(piece.rows - 1);
        next->live = next->span = piece.rows;
        note_runs(*next, piece);
        next->pieces.push_back(std::move(piece));
    }
    if (!verified) {
        // Without the caller's sections, which may be large and are the caller's to keep.
        unverified_ = std::make_unique<const IndexFile>(
            IndexFile{file.layout, file.rows, file.next_id, file.ascending, file.segment,
                      Sections(), file.codes_checksum, file.ids_checksum});
        verified_ = false;
    }
    publish(std::move(next));
}

std::vector<std::size_t> Index::rows_of(const Snapshot& snapshot, const std::int64_t* ids,
                                        std::size_t count, Stop& stop) const {
    return snapshot.id_map->find(snapshot, ids, count, stop);
}

}  // namespace dsah
