// An instruction as it is read from PTX text, and the table of all that are known.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "numbers.h"

namespace ptx {

// A bit for each lane of a warp.
using Lanes = u32;

constexpr int WARP = 32;
constexpr Lanes ALL_LANES = 0xffffffff;

inline bool has(Lanes lanes, int lane) {
    return lanes >> lane & 1;
}
inline int first_of(Lanes lanes) {
    return lanes ? __builtin_ctz(lanes) : 0;
}
inline u64 count_of(Lanes lanes) {
    return u64(__builtin_popcount(lanes));
}

constexpr int MOST_OPERANDS = 10;
constexpr i32 NONE = -1;

// `reading.py` fills these in; registers are named by where their lanes begin in a warp's registers.
struct Instruction {
    i32 entry;
    i32 guard, guard_negated;  // @%p, @!%p
    i32 second;                // the predicate behind a bar, as in %p|%q
    i32 operands[MOST_OPERANDS];
    i32 target;          // of a branch
    i32 register_bytes;  // of what is loaded or stored, which may be wider than the memory's
    i64 offset;          // added to the address
};

enum class Space : i32 { NONE, GLOBAL, SHARED, PARAMETER };

// What an instruction does with memory.
struct Access {
    Space space = Space::NONE;
    i32 bytes = 0, count = 0;  // of an element, and how many
    bool is_signed = false, stores = false, read_only = false;
};

enum class Kind : i32 { LANES, BRANCH, RETURN, BLOCK_BARRIER, WARP_WIDE };

struct Warp;
using Handler = void (*)(Warp&, const Instruction&, Lanes);

struct Entry {
    std::string name;
    // One sign an operand: p a predicate; 2, 4 or 8 a register of so many bytes; V as many registers as the access has
    // elements; A an address; L a label; 0 that number. A bar before it: the first operand may have a second behind a
    // bar.
    std::string signature;
    Kind kind = Kind::LANES;
    Handler run = nullptr;
    Access access;
    int members = NONE;  // which operand says what lanes take part, of an instruction that a warp executes together
};

const std::vector<Entry>& table();

inline const Entry& entry_of(const Instruction& instruction) {
    static const Entry* const entries = table().data();
    return entries[instruction.entry];
}

// What is wrong, and with which lane.
struct Fault : std::runtime_error {
    int lane;
    Fault(int lane, const std::string& what) : std::runtime_error(what), lane(lane) {}
};

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

}  // namespace ptx
