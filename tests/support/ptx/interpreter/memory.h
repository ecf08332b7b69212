// The spaces of memory, and what is wrong with an access: outside every array, misaligned, read before it is written.
#pragma once

#include "races.h"
#include "traffic.h"
#include "warp.h"

namespace ptx {

// Arrays begin at pages of so many bytes, and of each page so many bytes, from its start on, belong to an array.
constexpr u64 PAGE_BYTES = 512;

// What fresh and freed memory is filled with.
constexpr u32 CANARY = 0xfffadbad;

// `execution.py` has the same fields of what both know.
struct Launch {
    const Instruction* code;
    const char* constants;  // what registers hold that the text does not name
    char* global;
    const u16* page_bytes;
    const char* parameters;
    u64* executions;  // of each instruction, by warps
    Counts* counts;
    i64 global_bytes, own_bytes, register_bytes, parameter_bytes, static_shared_bytes, shared_bytes;
    i32 length;
    i32 grid[3], block[3];
    i32 special[24];  // where the special registers lie, in the order of `launch.h`; NONE: not used
    i32 order;        // 0 forward, 1 reverse, 2 random
    u32 seed;
    i32 find_races, measure;
    // What was wrong.
    i32 fault_place, fault_lane, fault_warp, fault_block;
    char fault[512];
};

struct Block {
    Launch& launch;
    u32 number = 0;
    u32 epoch = 1;
    std::vector<char> shared, shared_written;
    Races& global_races;
    Races shared_races;
    std::map<u64, std::map<u32, u32>>&
        released;  // by atomics on an address, by each block: what it did in its first epochs
    Handed handed;
};

inline u64 size_of(Access access) {
    return u64(access.bytes) * u64(access.count);
}

inline void check_place(const Warp& warp, int lane, Access access, u64 address) {
    const Launch& launch = warp.block->launch;
    const u64 bytes = size_of(access);
    const char* const what = access.stores ? "store" : "load";
    const auto shown = static_cast<unsigned long long>(address);
    if (address & (bytes - 1))
        throw Fault(lane, format("a misaligned %s of %d bytes at 0x%llx", what, int(bytes), shown));
    if (access.space == Space::GLOBAL) {
        const u64 offset = address - reinterpret_cast<u64>(launch.global);
        if (offset >= u64(launch.global_bytes) || offset % PAGE_BYTES + bytes > launch.page_bytes[offset / PAGE_BYTES])
            throw Fault(lane, format("a %s of %d bytes at 0x%llx, in no array: past its end, or freed", what,
                                     int(bytes), shown));
    } else {
        const bool shared = access.space == Space::SHARED;
        const u64 most = u64(shared ? launch.shared_bytes : launch.parameter_bytes);
        if (address > most || address + bytes > most)
            throw Fault(lane, format("a %s of %d bytes at %llu of %llu bytes of %s memory", what, int(bytes), shown,
                                     static_cast<unsigned long long>(most), shared ? "shared" : "parameter"));
    }
}

inline char* place_of(const Warp& warp, Space space, u64 address) {
    if (space == Space::GLOBAL) return reinterpret_cast<char*>(address);
    if (space == Space::SHARED) return warp.block->shared.data() + address;
    return const_cast<char*>(warp.block->launch.parameters) + address;
}

// Global memory must have been written before it is read.
inline void check_written(int lane, Access access, u64 address) {
    if (access.space != Space::GLOBAL) return;
    for (u64 at = address & ~u64(3); at < address + size_of(access); at += 4) {
        u32 word;
        std::memcpy(&word, reinterpret_cast<const char*>(at), sizeof word);
        if (word == CANARY)
            throw Fault(lane, format("a load of memory that nothing was written to, at 0x%llx",
                                     static_cast<unsigned long long>(address)));
    }
}

// Shared memory may be read before, by threads that have nothing to do: what comes of it must not go anywhere.
inline bool is_written(const Warp& warp, Access access, u64 address) {
    bool written = true;
    if (access.space == Space::SHARED)
        for (u64 at = address; at < address + size_of(access); at++) written &= warp.block->shared_written[at] != 0;
    return written;
}

inline void check_of_written(Warp& warp, i32 at, Lanes active, const char* what) {
    if (const Lanes unwritten = warp.unwritten_lanes(at) & active)
        throw Fault(first_of(unwritten),
                    format("%s comes of shared memory, or of a register, that nothing was written to", what));
}

inline Races::Access racing(const Warp& warp, int lane, bool atomic, bool read_only) {
    const Block& block = *warp.block;
    return {warp, block.handed, {block.number, warp.thread(lane), block.epoch, warp.syncs}, lane, atomic, read_only};
}

inline Races* races_of(const Warp& warp, Space space) {
    Block& block = *warp.block;
    if (!block.launch.find_races || space == Space::PARAMETER) return nullptr;
    return space == Space::GLOBAL ? &block.global_races : &block.shared_races;
}

inline void measure(const Warp& warp, Access access, const u64* addresses, Lanes active) {
    const Launch& launch = warp.block->launch;
    Counts& counts = *launch.counts;
    const u64 bytes = size_of(access);
    if (!launch.measure || !active) return;
    if (access.space == Space::GLOBAL) {
        const u64 sectors = sectors_of(addresses, active, bytes);
        (access.stores ? counts.store_requests : counts.load_requests)++;
        (access.stores ? counts.store_sectors : counts.load_sectors) += sectors;
        (access.stores ? counts.store_bytes : counts.load_bytes) += bytes * count_of(active);
    } else if (access.space == Space::SHARED) {
        (access.stores ? counts.shared_store_requests : counts.shared_load_requests)++;
        (access.stores ? counts.shared_store_wavefronts : counts.shared_load_wavefronts) +=
            wavefronts_of(addresses, active, bytes);
    }
}

}  // namespace ptx
