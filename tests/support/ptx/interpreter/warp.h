// A warp: registers, groups of lanes that are at one instruction, and what orders its lanes' accesses to memory.
#pragma once

#include <array>
#include <vector>

#include "instruction.h"

namespace ptx {

struct Block;

// Lanes that execute together until they part.
struct Group {
    i32 place;
    Lanes lanes;
    bool waits;
};

struct Warp {
    Block* block = nullptr;
    char* registers = nullptr;
    int number = 0;
    Lanes all = 0, alive = 0;
    std::vector<Group> groups;
    bool at_barrier = false;
    i32 place = 0;                                   // of the instruction that is executed
    u32 step = 0;                                    // how many have been
    u32 syncs = 0;                                   // how often its lanes have synchronised
    std::array<std::array<u32, WARP>, WARP> joined;  // which of those times was the last for two lanes

    std::vector<Lanes>
        unwritten;  // of each register, the lanes whose value comes of memory that nothing was written to

    // Registers begin at multiples of so many bytes.
    static constexpr i32 ALIGNMENT = 64;

    Lanes& unwritten_lanes(i32 at) { return unwritten[std::size_t(at / ALIGNMENT)]; }
    void mark_unwritten(i32 at, Lanes lanes, Lanes active) {
        Lanes& marked = unwritten_lanes(at);
        marked = (marked & ~active) | (lanes & active);
    }

    template <class T>
    T* lanes_of(i32 at) {
        return reinterpret_cast<T*>(registers + at);
    }
    u32 thread(int lane) const { return u32(number) * WARP + u32(lane); }
    void synchronise(Lanes members) {
        syncs++;
        for (int a = 0; a < WARP; a++)
            for (int b = 0; b < WARP; b++)
                if (has(members, a) && has(members, b)) joined[a][b] = syncs;
    }
};

}  // namespace ptx
