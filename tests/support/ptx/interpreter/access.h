// Loads, stores, atomics and fences.
#pragma once

#include "floats.h"
#include "integers.h"
#include "lanewise.h"
#include "memory.h"

namespace ptx {

// The addresses of a warp's lanes, by the operand that follows the registers.
struct Addresses {
    u64 of[WARP];

    Addresses(Warp& warp, const Instruction& instruction, int operand, Lanes active) {
        check_of_written(warp, instruction.operands[operand], active, "the address");
        const u64* const base = warp.lanes_of<u64>(instruction.operands[operand]);
        for (int lane = 0; lane < WARP; lane++) of[lane] = base[lane] + u64(instruction.offset);
    }
};

// What all accesses share: what they cost, and where they may go. `visit(lane, address, races)` does the rest.
template <class Visit>
void each_access(const Warp& warp, Access access, const Addresses& addresses, Lanes active, Visit visit) {
    measure(warp, access, addresses.of, active);
    Races* const races = races_of(warp, access.space);
    for (int lane = 0; lane < WARP; lane++) {
        if (!has(active, lane)) continue;
        check_place(warp, lane, access, addresses.of[lane]);
        visit(lane, addresses.of[lane], races);
    }
}

// Of registers that are as wide as the memory's elements, which most are, copies of a fixed size.
template <class Copy>
void copy_items(Warp& warp, const Instruction& instruction, Access access, int first_operand, int lane, Copy copy) {
    for (int item = 0; item < access.count; item++) {
        char* const at =
            warp.lanes_of<char>(instruction.operands[first_operand + item]) + lane * instruction.register_bytes;
        copy(at, item * access.bytes);
    }
}

inline void copy_to_registers(Warp& warp, const Instruction& instruction, Access access, int lane, const char* from) {
    if (access.bytes == 4 && instruction.register_bytes == 4) {
        copy_items(warp, instruction, access, 0, lane, [&](char* at, int item) { std::memcpy(at, from + item, 4); });
    } else {
        const int unused = 64 - 8 * access.bytes;
        copy_items(warp, instruction, access, 0, lane, [&](char* at, int item) {
            u64 bits = 0;
            std::memcpy(&bits, from + item, std::size_t(access.bytes));
            if (access.is_signed) bits = u64(i64(bits << unused) >> unused);
            std::memcpy(at, &bits, std::size_t(instruction.register_bytes));
        });
    }
}

inline void copy_from_registers(Warp& warp, const Instruction& instruction, Access access, int lane, char* to) {
    if (access.bytes == 4) {
        copy_items(warp, instruction, access, 1, lane, [&](char* at, int item) { std::memcpy(to + item, at, 4); });
    } else {
        copy_items(warp, instruction, access, 1, lane,
                   [&](char* at, int item) { std::memcpy(to + item, at, std::size_t(access.bytes)); });
    }
}

inline void load(Warp& warp, const Instruction& instruction, Lanes active) {
    const Access access = entry_of(instruction).access;
    const Addresses addresses(warp, instruction, access.count, active);
    Lanes unwritten = 0;
    each_access(warp, access, addresses, active, [&](int lane, u64 address, Races* races) {
        check_written(lane, access, address);
        if (!is_written(warp, access, address)) unwritten |= 1u << lane;
        if (races) races->read(racing(warp, lane, false, access.read_only), address, u32(size_of(access)));
        copy_to_registers(warp, instruction, access, lane, place_of(warp, access.space, address));
    });
    for (int item = 0; item < access.count; item++) warp.mark_unwritten(instruction.operands[item], unwritten, active);
}

inline void store(Warp& warp, const Instruction& instruction, Lanes active) {
    const Access access = entry_of(instruction).access;
    const Addresses addresses(warp, instruction, 0, active);
    const u64 bytes = size_of(access);
    Lanes unwritten = 0;
    if (instruction.guard != NONE) check_of_written(warp, instruction.guard, active, "the guard of a store");
    for (int item = 0; item < access.count; item++) {
        if (access.space == Space::GLOBAL)
            check_of_written(warp, instruction.operands[1 + item], active, "the stored value");
        unwritten |= warp.unwritten_lanes(instruction.operands[1 + item]);
    }
    each_access(warp, access, addresses, active, [&](int lane, u64 address, Races* races) {
        char stored[WARP];
        copy_from_registers(warp, instruction, access, lane, stored);
        char* const to = place_of(warp, access.space, address);
        if (races)
            races->write(racing(warp, lane, false, false), address, u32(bytes), std::memcmp(to, stored, bytes) == 0);
        std::memcpy(to, stored, bytes);
        if (access.space == Space::SHARED)
            std::fill_n(warp.block->shared_written.begin() + i64(address), bytes, !has(unwritten, lane));
    });
}

// ---- atomics: lanes take their turn, in order

template <class T>
T exchange(T, T given) {
    return given;
}

// Single precision in global memory, unlike anything else, takes subnormal numbers for zeros.
inline f32 sum_of_normal(f32 a, f32 b) {
    const auto flushed = [](f32 x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; };
    return flushed(sum(flushed(a), flushed(b)));
}

inline void hand_on(Warp& warp, u64 address) {
    Block& block = *warp.block;
    auto& by_block = block.released[address];
    for (const auto& [other, epoch] : by_block)
        if (other != block.number) block.handed.offered[other] = std::max(block.handed.offered[other], epoch);
    if (block.handed.fenced) by_block[block.number] = block.epoch;
}

// What the atomic operations share; `combine(old, lane)` is the new value.
template <class T, class Combine>
void each_turn(Warp& warp, const Instruction& instruction, Lanes active, int address_operand, bool keeps,
               Combine combine) {
    const Access access = entry_of(instruction).access;
    const Addresses addresses(warp, instruction, address_operand, active);
    each_access(warp, access, addresses, active, [&](int lane, u64 address, Races* races) {
        check_written(lane, access, address);
        if (!is_written(warp, access, address))
            throw Fault(lane, "an atomic on shared memory that nothing was written to");
        if (races) {
            races->read(racing(warp, lane, true, false), address, sizeof(T));
            races->write(racing(warp, lane, true, false), address, sizeof(T), false);
            if (access.space == Space::GLOBAL) hand_on(warp, address);
        }
        T* const at = reinterpret_cast<T*>(place_of(warp, access.space, address));
        const T old = *at;
        *at = combine(old, lane);
        if (keeps) warp.lanes_of<T>(instruction.operands[0])[lane] = old;
    });
    if (keeps) warp.mark_unwritten(instruction.operands[0], 0, active);
}

// atom d, [a], b
template <class T, T (*COMBINE)(T, T)>
void atomic(Warp& warp, const Instruction& instruction, Lanes active) {
    const T* const given = warp.lanes_of<T>(instruction.operands[2]);
    each_turn<T>(warp, instruction, active, 1, true, [&](T old, int lane) { return COMBINE(old, given[lane]); });
}
// red [a], b
template <class T, T (*COMBINE)(T, T)>
void reduce(Warp& warp, const Instruction& instruction, Lanes active) {
    const T* const given = warp.lanes_of<T>(instruction.operands[1]);
    each_turn<T>(warp, instruction, active, 0, false, [&](T old, int lane) { return COMBINE(old, given[lane]); });
}
// atom.cas d, [a], b, c: c takes the place of b
template <class T>
void compare_and_swap(Warp& warp, const Instruction& instruction, Lanes active) {
    const T* const expected = warp.lanes_of<T>(instruction.operands[2]);
    const T* const given = warp.lanes_of<T>(instruction.operands[3]);
    each_turn<T>(warp, instruction, active, 1, true,
                 [&](T old, int lane) { return old == expected[lane] ? given[lane] : old; });
}

// Memory is always in order here: a fence matters to the search for races only.
inline void fence(Warp& warp, const Instruction&, Lanes) {
    warp.block->handed.fence();
}
inline void fence_of_block(Warp&, const Instruction&, Lanes) {}

}  // namespace ptx
