// What an access of a warp costs: sectors of 32 bytes of global memory, wavefronts of shared memory.
#pragma once

#include <algorithm>

#include "instruction.h"

namespace ptx {

// `execution.py` has the same fields.
struct Counts {
    u64 slots, instructions;  // of warps and of threads
    u64 divergences, barriers, shuffles;
    u64 load_requests, load_sectors, load_bytes;
    u64 store_requests, store_sectors, store_bytes;
    u64 shared_load_requests, shared_load_wavefronts, shared_store_requests, shared_store_wavefronts;
};

constexpr u64 SECTOR = 32, BANKS = 32, BANK_BYTES = 4;

inline u64 distinct(std::vector<u64>& values) {
    std::sort(values.begin(), values.end());
    return u64(std::unique(values.begin(), values.end()) - values.begin());
}

inline u64 sectors_of(const u64* addresses, Lanes active, u64 bytes) {
    std::vector<u64> sectors;
    for (int lane = 0; lane < WARP; lane++)
        if (has(active, lane))
            for (u64 at = addresses[lane] / SECTOR; at <= (addresses[lane] + bytes - 1) / SECTOR; at++)
                sectors.push_back(at);
    return distinct(sectors);
}

// Eight bytes a lane go half a warp at a time, sixteen a quarter; then the bank with most words in it decides.
inline u64 wavefronts_of(const u64* addresses, Lanes active, u64 bytes) {
    const int at_once = bytes <= 4 ? WARP : bytes == 8 ? WARP / 2 : bytes == 16 ? WARP / 4 : WARP / 8;
    u64 total = 0;
    for (int first = 0; first < WARP; first += at_once) {
        std::vector<u64> words;
        for (int lane = first; lane < first + at_once; lane++)
            if (has(active, lane))
                for (u64 at = addresses[lane] / BANK_BYTES; at <= (addresses[lane] + bytes - 1) / BANK_BYTES; at++)
                    words.push_back(at);
        const u64 count = distinct(words);
        u64 in_bank[BANKS] = {}, most = 0;
        for (u64 word = 0; word < count; word++) most = std::max(most, ++in_bank[words[word] % BANKS]);
        total += most;
    }
    return total;
}

}  // namespace ptx
