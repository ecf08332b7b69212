// How the lanes of a warp and the warps of a block take turns.
#pragma once

#include <algorithm>
#include <random>

#include "lanewise.h"
#include "memory.h"

namespace ptx {

enum class Order : i32 { FORWARD, REVERSE, RANDOM };

class Scheduler {
  public:
    explicit Scheduler(Launch& launch) : launch_(launch), order_(Order(launch.order)), random_(launch.seed) {}

    // Lanes that have parted meet again at one place: in forward order those furthest behind go first.
    static void merge(Warp& warp) {
        auto& groups = warp.groups;
        for (std::size_t a = 0; a < groups.size(); a++)
            for (std::size_t b = groups.size() - 1; b > a; b--)
                if (groups[a].place == groups[b].place) {
                    groups[a].lanes |= groups[b].lanes;
                    groups[a].waits = false;
                    groups.erase(groups.begin() + i64(b));
                }
    }

    // The group whose turn it is; none if all wait.
    Group* choose(Warp& warp) {
        Group* chosen = nullptr;
        u64 ready = 0;
        for (Group& group : warp.groups) {
            if (group.waits) continue;
            ready++;
            const bool better = chosen == nullptr || (order_ == Order::FORWARD   ? group.place < chosen->place
                                                      : order_ == Order::REVERSE ? group.place > chosen->place
                                                                                 : random_() % ready == 0);
            if (better) chosen = &group;
        }
        return chosen;
    }

    // The warp whose turn it is; none if all are done or wait.
    Warp* choose(std::vector<Warp>& warps) {
        Warp* chosen = nullptr;
        u64 ready = 0;
        for (Warp& warp : warps) {
            if (warp.groups.empty() || warp.at_barrier) continue;
            if (order_ == Order::FORWARD) return &warp;
            ready++;
            if (order_ == Order::REVERSE || random_() % ready == 0) chosen = &warp;
        }
        return chosen;
    }

    // How many instructions a warp may execute in its turn.
    u64 turn() { return order_ == Order::RANDOM ? 1 + random_() % 64 : ~u64(0); }

    std::vector<u32> blocks() {
        std::vector<u32> numbers(u64(launch_.grid[0]) * u64(launch_.grid[1]) * u64(launch_.grid[2]));
        for (std::size_t i = 0; i < numbers.size(); i++) numbers[i] = u32(i);
        if (order_ == Order::REVERSE) std::reverse(numbers.begin(), numbers.end());
        if (order_ == Order::RANDOM) std::shuffle(numbers.begin(), numbers.end(), random_);
        return numbers;
    }

  private:
    Launch& launch_;
    const Order order_;
    std::mt19937 random_;
};

}  // namespace ptx
