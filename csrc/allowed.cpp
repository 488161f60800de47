#include "allowed.hpp"

#include "id_map.hpp"

namespace dsah {
namespace {

constexpr std::size_t kFew = 32;  // the share of the live rows that is listed: one in so many
constexpr std::size_t kRowsAtOnce = 65536;

void set_bit(Bitmap& bitmap, std::size_t row) {
    bitmap[row / 64] |= std::uint64_t{1} << row % 64;
}

void list_few(const Snapshot& snapshot, AllowedRows& allowed, Stop& stop) {
    const std::size_t most = snapshot.live / kFew;
    in_steps(allowed.bitmap.size(), kRowsAtOnce / 64, stop,
             [&](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i)
                     for (std::uint64_t word = allowed.bitmap[i]; word; word &= word - 1) {
                         if (allowed.list.size() == most) return;
                         allowed.list.push_back(64 * i +
                                                static_cast<std::size_t>(__builtin_ctzll(word)));
                     }
             });
}

/// Whether each of up to 64 bytes is not zero, as the bits of a word.
std::uint64_t bits_of(const std::uint8_t* bytes, std::size_t count) {
    constexpr std::uint64_t kLow = 0x7F7F7F7F7F7F7F7F;
    std::uint64_t word = 0;
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, bytes + i, 8);
        const std::uint64_t ones = (((eight & kLow) + kLow) | eight) >> 7 & ~kLow >> 7;
        word |= (ones * 0x0102040810204080) >> 56 << i;  // brings the eight bits together
    }
    for (; i < count; ++i) word |= std::uint64_t{bytes[i] != 0} << i;
    return word;
}

/// Throws if a live row has an id that a mask of this size does not reach.
void check_size(const Snapshot& snapshot, std::size_t size, Stop& stop) {
    std::int64_t largest = -1;
    for (const Piece& piece : snapshot.pieces) {
        std::size_t skip = 0;  // ids that count up are reached as far as the mask goes
        if (!piece.segment->ids && piece.segment->runs.empty()) {
            const auto base = static_cast<std::size_t>(piece.segment->id_base);
            skip = std::min(piece.rows, size - std::min(size, base));
        }
        in_steps(piece.rows - skip, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = skip + begin; i < skip + end; ++i)
                if (snapshot.is_alive(piece.first + i)) largest = std::max(largest, piece.id(i));
        });
    }
    if (largest < 0 || static_cast<std::size_t>(largest) < size) return;
    throw Error(Fault::usage, "allow: got a mask of shape (" + std::to_string(size) +
                                  ",), but the largest id is " + std::to_string(largest) +
                                  "; expected shape (" + std::to_string(largest + 1) +
                                  ",) or longer");
}

/// Sets the bits of `count` rows from `row` on.
void allow_run(const std::uint8_t* mask, std::size_t count, std::size_t row, Bitmap& bitmap,
               Stop& stop) {
    in_steps(count, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; i += 64) {
            const std::uint64_t word = bits_of(mask + i, std::min<std::size_t>(64, end - i));
            const std::size_t at = (row + i) / 64, shift = (row + i) % 64;
            bitmap[at] |= word << shift;
            if (shift && word >> (64 - shift)) bitmap[at + 1] |= word >> (64 - shift);
        }
    });
}

/// Sets the bits of a piece whose ids are stored. Without branches: these would be guessed wrong.
void allow_stored(const std::uint8_t* mask, std::size_t size, const Piece& piece, Bitmap& bitmap,
                  Stop& stop) {
    in_steps(size ? piece.rows : 0, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; i += 64) {
            std::uint64_t word = 0;
            for (std::size_t j = i; j < std::min(i + 64, end); ++j) {
                const auto id = static_cast<std::size_t>(piece.id(j));
                const std::uint64_t reached = id < size, place = reached ? id : 0;
                word |= (reached & (mask[place] != 0)) << (j - i);
            }
            bitmap[(piece.first + i) / 64] = word;
        }
    });
}

}  // namespace

AllowedRows allow_ids(const Snapshot& snapshot, const std::int64_t* ids, std::size_t count,
                      Stop& stop) {
    AllowedRows allowed;
    allowed.bitmap.assign(snapshot.span / 64 + 1, 0);
    in_steps(count, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (const std::size_t row :
             snapshot.id_map->find(snapshot, ids + begin, end - begin, stop))
            if (row != kNoRow) set_bit(allowed.bitmap, row);
    });
    list_few(snapshot, allowed, stop);
    return allowed;
}

AllowedRows allow_mask(const Snapshot& snapshot, const std::uint8_t* mask, std::size_t size,
                       Stop& stop) {
    AllowedRows allowed;
    allowed.bitmap.assign(snapshot.span / 64 + 1, 0);
    if (size < static_cast<std::size_t>(snapshot.next_id)) check_size(snapshot, size, stop);
    for (const Piece& piece : snapshot.pieces) {
        if (piece.segment->ids) {
            allow_stored(mask, size, piece, allowed.bitmap, stop);
            continue;
        }
        piece.for_each_run([&](std::size_t begin, std::size_t end, std::int64_t id) {
            const std::size_t place = std::min(size, static_cast<std::size_t>(id));
            allow_run(mask + place, std::min(end - begin, size - place), piece.first + begin,
                      allowed.bitmap, stop);
        });
    }
    if (snapshot.alive)
        for (std::size_t i = 0; i < std::min(allowed.bitmap.size(), snapshot.alive->size()); ++i)
            allowed.bitmap[i] &= (*snapshot.alive)[i];
    list_few(snapshot, allowed, stop);
    return allowed;
}

}  // namespace dsah
