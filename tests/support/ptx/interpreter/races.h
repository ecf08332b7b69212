// Races: two accesses to a byte, one of which writes, that nothing orders.
//
// What orders accesses: the program within a thread; a barrier of the block between its threads; `bar.warp.sync`
// between the lanes it names (a shuffle or a vote does not). Blocks are not ordered at all, but by fences with atomics:
// an atomic after a fence hands on what its block has done before, and a fence after an atomic on the same address
// takes all of that over. That is noted for a block as a whole, so that of the block's own barriers around the two none
// is asked for. Atomics do not race with each other.
#pragma once

#include <map>
#include <unordered_map>

#include "warp.h"

namespace ptx {

struct Moment {
    u32 block = 0, thread = 0;
    u32 epoch = 0;  // how many barriers the block had passed, from 1 on; 0: never
    u32 syncs = 0;  // how often the warp's lanes had synchronised
};

// What a block has been handed by others: what they did before so many barriers.
struct Handed {
    std::map<u32, u32> taken, offered;
    bool fenced = false;

    void fence() {
        fenced = true;
        for (const auto& [block, epoch] : offered) taken[block] = std::max(taken[block], epoch);
    }
    bool covers(const Moment& before) const {
        const auto found = taken.find(before.block);
        return found != taken.end() && before.epoch <= found->second;
    }
};

class Races {
  public:
    // Accesses are noted by granules of so many bytes: those of the smallest store.
    Races(const char* space, u32 granule) : space_(space), shift_(__builtin_ctz(granule)) {}

    struct Access {
        const Warp& warp;
        const Handed& handed;
        Moment now;
        int lane;
        bool atomic, read_only;
    };

    void read(const Access& access, u64 address, u32 bytes) {
        each(address, bytes, [&](Cell& cell, u64 at) {
            if (cell.wrote.epoch && access.read_only)
                fail(access, at, "is read by ld.global.nc, and was written by", cell.wrote);
            if (!(cell.atomic && access.atomic) && !ordered(cell.wrote, access))
                fail(access, at, "is read, and was written by", cell.wrote);
            note_reader(cell, access);
        });
    }

    // `unchanged`: the bytes were there already, as when lanes store one value in one instruction.
    void write(const Access& access, u64 address, u32 bytes, bool unchanged) {
        each(address, bytes, [&](Cell& cell, u64 at) {
            const bool together = cell.wrote.epoch && cell.wrote.block == access.now.block &&
                                  cell.step == access.warp.step && cell.wrote.thread / WARP == access.now.thread / WARP;
            if (!(cell.atomic && access.atomic) && !(together && unchanged) && !ordered(cell.wrote, access))
                fail(access, at, "is written, and was written by", cell.wrote);
            if (!readers_ordered(cell, access)) fail(access, at, "is written, and was read by", cell.read);
            cell.wrote = access.now;
            cell.step = access.warp.step;
            cell.atomic = access.atomic;
        });
    }

    Races(const Races&) = delete;
    ~Races() { clear(); }

    void clear() {
        for (auto& [number, page] : pages_) spare().push_back(std::move(page));
        pages_.clear();
        last_ = nullptr;
    }

  private:
    enum class Readers : u8 { LANES, WARPS, BLOCKS };  // the last readers: lanes of one warp, or more

    struct Cell {
        Moment wrote, read;
        u32 step = 0;
        Lanes lanes = 0;
        Readers readers = Readers::LANES;
        bool atomic = false;
    };

    static constexpr u64 PAGE = 1024;
    const char* space_;
    int shift_;  // a granule has 2 to the power of so many bytes
    std::unordered_map<u64, std::vector<Cell>> pages_;
    u64 last_page_ = 0;
    std::vector<Cell>* last_ = nullptr;

    // Pages of former launches, so that memory is taken from the system once.
    static std::vector<std::vector<Cell>>& spare() {
        static thread_local std::vector<std::vector<Cell>> pages;
        return pages;
    }

    std::vector<Cell>& page(u64 number) {
        std::vector<Cell>& found = pages_[number];
        if (found.empty()) {
            if (!spare().empty()) {
                found = std::move(spare().back());
                spare().pop_back();
            }
            found.assign(PAGE, Cell());
        }
        return found;
    }

    template <class Visit>
    void each(u64 address, u32 bytes, Visit visit) {
        for (u64 at = address >> shift_; at <= (address + bytes - 1) >> shift_; at++) {
            if (last_ == nullptr || at / PAGE != last_page_) {
                last_page_ = at / PAGE;
                last_ = &page(last_page_);
            }
            visit((*last_)[at % PAGE], at << shift_);
        }
    }

    static bool ordered(const Moment& before, const Access& access) {
        const Moment& now = access.now;
        if (!before.epoch) return true;
        if (before.block != now.block) return access.handed.covers(before);
        if (before.thread == now.thread || before.epoch < now.epoch) return true;
        return before.thread / WARP == now.thread / WARP &&
               access.warp.joined[before.thread % WARP][now.thread % WARP] > before.syncs;
    }

    static bool readers_ordered(const Cell& cell, const Access& access) {
        const Moment& now = access.now;
        if (!cell.read.epoch) return true;
        if (cell.readers == Readers::BLOCKS) return false;
        if (cell.readers == Readers::WARPS)
            return cell.read.block == now.block ? cell.read.epoch < now.epoch : access.handed.covers(cell.read);
        Moment before = cell.read;
        for (int lane = 0; lane < WARP; lane++) {
            before.thread = cell.read.thread / WARP * WARP + u32(lane);
            if (has(cell.lanes, lane) && !ordered(before, access)) return false;
        }
        return true;
    }

    // Atomics read, too, but only what they may.
    static void note_reader(Cell& cell, const Access& access) {
        const Moment &before = cell.read, &now = access.now;
        if (access.atomic) return;
        const bool same_block = before.block == now.block, same_epoch = same_block && before.epoch == now.epoch;
        if (!before.epoch || (same_block && before.epoch < now.epoch && cell.readers != Readers::BLOCKS)) {
            cell.readers = Readers::LANES;
            cell.lanes = 0;
        } else if (!same_block) {
            cell.readers = Readers::BLOCKS;
        } else if (same_epoch && before.thread / WARP != now.thread / WARP && cell.readers == Readers::LANES) {
            cell.readers = Readers::WARPS;
        }
        cell.lanes |= 1u << now.thread % WARP;
        cell.read = now;
    }

    [[noreturn]] void fail(const Access& access, u64 at, const char* what, const Moment& before) const {
        throw Fault(access.lane,
                    format("a race: %s memory at 0x%llx %s thread %u of block %u, with nothing between", space_,
                           static_cast<unsigned long long>(at), what, before.thread, before.block));
    }
};

}  // namespace ptx
