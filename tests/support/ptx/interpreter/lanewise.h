// How a function of numbers becomes an instruction that each lane executes by itself.
//
// The types of the function's arguments and result say what its operands are; a bool is a predicate, of which a
// register holds a bit for each lane.
#pragma once

#include <utility>

#include "integers.h"
#include "warp.h"

// A lane reads and writes its own places only, whichever registers are the same.
#ifdef __clang__
#define PTX_LANES_ARE_APART _Pragma("clang loop vectorize(assume_safety)")
#else
#define PTX_LANES_ARE_APART _Pragma("GCC ivdep")
#endif

namespace ptx {

template <class T>
char sign_of() {
    return std::is_same_v<T, bool> ? 'p' : char('0' + sizeof(T));
}

template <class T>
struct Source {
    const T* lanes;
    Source(Warp& warp, i32 at) : lanes(warp.lanes_of<T>(at)) {}
    T operator[](int lane) const { return lanes[lane]; }
};
template <>
struct Source<bool> {
    Lanes lanes;
    Source(Warp& warp, i32 at) : lanes(*warp.lanes_of<Lanes>(at)) {}
    bool operator[](int lane) const { return has(lanes, lane); }
};

inline void put_predicate(Warp& warp, i32 at, Lanes value, Lanes active) {
    Lanes& lanes = *warp.lanes_of<Lanes>(at);
    lanes = (lanes & ~active) | (value & active);
}

// Of a selection only what is taken counts.
template <auto FUNCTION>
constexpr bool SELECTS = false;
template <>
constexpr bool SELECTS<select<u16>> = true;
template <>
constexpr bool SELECTS<select<u32>> = true;
template <>
constexpr bool SELECTS<select<u64>> = true;

inline Lanes unwritten_of_selected(Warp& warp, const i32* operands) {
    const Lanes chosen = *warp.lanes_of<Lanes>(operands[3]);
    return (warp.unwritten_lanes(operands[1]) & chosen) | (warp.unwritten_lanes(operands[2]) & ~chosen) |
           warp.unwritten_lanes(operands[3]);
}

template <auto FUNCTION>
struct EachLane;

template <class Result, class... Arguments, Result (*FUNCTION)(Arguments...)>
struct EachLane<FUNCTION> {
    static std::string signature() {
        const std::string comparison = std::is_same_v<Result, bool> ? "|" : "";
        return comparison + std::string{sign_of<Result>(), sign_of<Arguments>()...};
    }

    static void run(Warp& warp, const Instruction& instruction, Lanes active) {
        run(warp, instruction, active, std::index_sequence_for<Arguments...>());
    }

    template <std::size_t... I>
    static void run(Warp& warp, const Instruction& instruction, Lanes active, std::index_sequence<I...>) {
        const i32* const at = instruction.operands;
        Lanes unwritten;
        if constexpr (SELECTS<FUNCTION>)
            unwritten = unwritten_of_selected(warp, at);
        else
            unwritten = (warp.unwritten_lanes(at[1 + I]) | ...);
        apply(warp, instruction, active, Source<Arguments>(warp, at[1 + I])...);
        warp.mark_unwritten(at[0], unwritten, active);
        if (instruction.second != NONE) warp.mark_unwritten(instruction.second, unwritten, active);
    }

    template <class... Sources>
    static void apply(Warp& warp, const Instruction& instruction, Lanes active, const Sources... sources) {
        if constexpr (std::is_same_v<Result, bool>) {
            Lanes found = 0;
            for (int lane = 0; lane < WARP; lane++) found |= Lanes(FUNCTION(sources[lane]...)) << lane;
            put_predicate(warp, instruction.operands[0], found, active);
            if (instruction.second != NONE) put_predicate(warp, instruction.second, ~found, active);
        } else {
            Result* const result = warp.lanes_of<Result>(instruction.operands[0]);
            if (active == ALL_LANES) {
                PTX_LANES_ARE_APART
                for (int lane = 0; lane < WARP; lane++) result[lane] = FUNCTION(sources[lane]...);
            } else {  // for all lanes even so, which goes in vectors
                Result found[WARP];
                for (int lane = 0; lane < WARP; lane++) found[lane] = FUNCTION(sources[lane]...);
                for (int lane = 0; lane < WARP; lane++) result[lane] = has(active, lane) ? found[lane] : result[lane];
            }
        }
    }
};

template <auto FUNCTION>
Entry each_lane(const std::string& name) {
    return {name, EachLane<FUNCTION>::signature(), Kind::LANES, EachLane<FUNCTION>::run, {}, NONE};
}

// ---- a wide register from its parts, the lowest first, and back

template <class Whole, class Part>
void pack(Warp& warp, const Instruction& instruction, Lanes active) {
    Whole* const whole = warp.lanes_of<Whole>(instruction.operands[0]);
    for (int lane = 0; lane < WARP; lane++) {
        Whole packed = 0;
        for (std::size_t part = 0; part < sizeof(Whole) / sizeof(Part); part++)
            packed |= Whole(warp.lanes_of<Part>(instruction.operands[1 + part])[lane]) << 8 * sizeof(Part) * part;
        if (has(active, lane)) whole[lane] = packed;
    }
    Lanes unwritten = 0;
    for (std::size_t part = 0; part < sizeof(Whole) / sizeof(Part); part++)
        unwritten |= warp.unwritten_lanes(instruction.operands[1 + part]);
    warp.mark_unwritten(instruction.operands[0], unwritten, active);
}

template <class Whole, class Part>
void unpack(Warp& warp, const Instruction& instruction, Lanes active) {
    constexpr std::size_t PARTS = sizeof(Whole) / sizeof(Part);
    Whole whole[WARP];
    const Lanes unwritten = warp.unwritten_lanes(instruction.operands[PARTS]);
    std::memcpy(whole, warp.lanes_of<Whole>(instruction.operands[PARTS]), sizeof whole);
    for (std::size_t part = 0; part < PARTS; part++) warp.mark_unwritten(instruction.operands[part], unwritten, active);
    for (int lane = 0; lane < WARP; lane++)
        for (std::size_t part = 0; part < PARTS; part++)
            if (has(active, lane))
                warp.lanes_of<Part>(instruction.operands[part])[lane] = Part(whole[lane] >> 8 * sizeof(Part) * part);
}

}  // namespace ptx
