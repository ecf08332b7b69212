// What the lanes of a warp do together: shuffles, votes and barriers of the warp.
//
// All members that an instruction names have come to it when it is executed; `launch.h` has seen to that.
#pragma once

#include "lanewise.h"

namespace ptx {

enum class Shuffle { UP, DOWN, BUTTERFLY, INDEX };

// shfl.sync d|p, a, b, c, members: of lane b, or that far away, within the segment that c says.
template <Shuffle MODE>
void shuffle(Warp& warp, const Instruction& instruction, Lanes active) {
    const i32* const at = instruction.operands;
    const u32* const given = warp.lanes_of<u32>(at[1]);
    const u32* const members = warp.lanes_of<u32>(at[4]);
    const u32* const distances = warp.lanes_of<u32>(at[2]);
    const u32* const clamps = warp.lanes_of<u32>(at[3]);
    const Lanes given_unwritten = warp.unwritten_lanes(at[1]);
    u32 found[WARP];
    Lanes in_range = 0, unwritten = 0;
    for (int lane = 0; lane < WARP; lane++) {
        const int b = int(distances[lane] & 31), c = int(clamps[lane]), segment = c >> 8 & 31, clamp = c & 31;
        const int most = (lane & segment) | (clamp & ~segment), least = lane & segment;
        const int wanted = MODE == Shuffle::UP          ? lane - b
                           : MODE == Shuffle::DOWN      ? lane + b
                           : MODE == Shuffle::BUTTERFLY ? lane ^ b
                                                        : least | (b & ~segment);
        const bool inside = MODE == Shuffle::UP ? wanted >= most : wanted <= most;
        const int source = inside ? wanted : lane;
        if (has(active, lane) && !has(members[lane] & active, source))
            throw Fault(lane, format("it takes the value of lane %d, which takes no part", source));
        found[lane] = given[source];
        in_range |= Lanes(inside) << lane;
        unwritten |= Lanes(has(given_unwritten, source)) << lane;
    }
    u32* const result = warp.lanes_of<u32>(at[0]);
    for (int lane = 0; lane < WARP; lane++) result[lane] = has(active, lane) ? found[lane] : result[lane];
    warp.mark_unwritten(at[0], unwritten, active);
    if (instruction.second != NONE) {
        put_predicate(warp, instruction.second, in_range, active);
        warp.mark_unwritten(instruction.second, 0, active);
    }
}

enum class Vote { ALL, ANY, BALLOT };

// vote.sync d, p, members: over the lanes that share a lane's members.
template <Vote MODE>
void vote(Warp& warp, const Instruction& instruction, Lanes active) {
    const Lanes votes = *warp.lanes_of<Lanes>(instruction.operands[1]) & active;
    const Lanes unwritten = warp.unwritten_lanes(instruction.operands[1]) & active;
    Lanes outcome = 0;
    for (int lane = 0; lane < WARP; lane++) {
        if (!has(active, lane)) continue;
        const Lanes members = warp.lanes_of<Lanes>(instruction.operands[2])[lane], found = votes & members;
        if (MODE == Vote::BALLOT) warp.lanes_of<u32>(instruction.operands[0])[lane] = found;
        outcome |= Lanes(MODE == Vote::ALL ? found == members : found != 0) << lane;
    }
    if (MODE != Vote::BALLOT) put_predicate(warp, instruction.operands[0], outcome, active);
    warp.mark_unwritten(instruction.operands[0], unwritten ? ALL_LANES : 0, active);
}

// bar.warp.sync members: the only one of these that orders the lanes' accesses to memory.
inline void synchronise(Warp& warp, const Instruction& instruction, Lanes active) {
    Lanes done = 0;
    for (int lane = 0; lane < WARP; lane++) {
        if (!has(active & ~done, lane)) continue;
        const Lanes members = warp.lanes_of<Lanes>(instruction.operands[0])[lane];
        warp.synchronise(members);
        done |= members;
    }
}

}  // namespace ptx
