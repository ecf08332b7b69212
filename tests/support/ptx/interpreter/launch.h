// A launch: block after block, and in each of them warp after warp up to the next barrier.
#pragma once

#include <cstdio>

#include "scheduler.h"

namespace ptx {

class Run {
  public:
    explicit Run(Launch& launch)
        : launch_(launch),
          scheduler_(launch),
          global_races_("global", granule_of(Space::GLOBAL)),
          block_{launch, 0, 1, {}, {}, global_races_, Races("shared", granule_of(Space::SHARED)), released_, {}} {
        const int threads = launch.block[0] * launch.block[1] * launch.block[2];
        for (i64 at = 0; at < launch.shared_bytes; at++) fresh_shared_.push_back(char(CANARY >> 8 * (at % 4)));
        warps_.resize(std::size_t(threads + WARP - 1) / WARP);
        static thread_local std::vector<char> registers;  // taken from the system once
        registers.resize(std::max(registers.size(), warps_.size() * u64(launch.register_bytes) + Warp::ALIGNMENT));
        const auto start = (reinterpret_cast<std::uintptr_t>(registers.data()) + Warp::ALIGNMENT - 1) /
                           Warp::ALIGNMENT * Warp::ALIGNMENT;
        for (std::size_t number = 0; number < warps_.size(); number++) {
            Warp& warp = warps_[number];
            warp.block = &block_;
            warp.number = int(number);
            warp.registers = reinterpret_cast<char*>(start) + number * u64(launch.register_bytes);
            std::memcpy(warp.registers + launch.own_bytes, launch.constants,
                        std::size_t(launch.register_bytes - launch.own_bytes));
            const int lanes = std::min(WARP, threads - int(number) * WARP);
            warp.unwritten.assign(std::size_t(launch.register_bytes / Warp::ALIGNMENT), 0);
            warp.all = lanes == WARP ? ALL_LANES : (1u << lanes) - 1;
        }
    }

    void run() {
        try {
            for (const u32 number : scheduler_.blocks()) run_block(number);
        } catch (const Fault& fault) {
            launch_.fault_place = now_ ? now_->place : 0;
            launch_.fault_warp = now_ ? now_->number : 0;
            launch_.fault_lane = fault.lane;
            launch_.fault_block = i32(block_.number);
            std::snprintf(launch_.fault, sizeof launch_.fault, "%s", fault.what());
        }
    }

  private:
    Launch& launch_;
    Scheduler scheduler_;
    std::map<u64, std::map<u32, u32>> released_;
    Races global_races_;
    Block block_;
    std::vector<char> fresh_shared_;
    std::vector<Warp> warps_;
    Warp* now_ = nullptr;

    u32 granule_of(Space space) const {
        i32 smallest = 4;
        for (i32 place = 0; place < launch_.length; place++) {
            const Access& access = entry_of(launch_.code[place]).access;
            if (access.space == space && access.stores) smallest = std::min(smallest, access.bytes);
        }
        return u32(smallest);
    }

    // ---- a block

    void run_block(u32 number) {
        block_.number = number;
        block_.epoch = 1;
        block_.shared = fresh_shared_;
        block_.shared_written.assign(std::size_t(launch_.shared_bytes), 0);
        block_.shared_races.clear();
        block_.handed = {};
        for (Warp& warp : warps_) begin(warp);
        while (true) {
            now_ = scheduler_.choose(warps_);
            if (now_)
                run_warp(*now_, scheduler_.turn());
            else if (!pass_barrier())
                return;
        }
    }

    void begin(Warp& warp) {
        warp.alive = warp.all;
        warp.groups.assign(1, {0, warp.all, false});
        warp.at_barrier = false;
        warp.step = warp.syncs = 0;
        std::fill_n(warp.unwritten.begin(), launch_.own_bytes / Warp::ALIGNMENT, ALL_LANES);
        for (auto& lane : warp.joined) lane.fill(0);
        const auto x = u32(launch_.grid[0]), y = u32(launch_.grid[1]), block = block_.number;
        const u32 place[3] = {block % x, block / x % y, block / x / y};
        const auto width = u32(launch_.block[0]), height = u32(launch_.block[1]);
        const i32* special = launch_.special;
        const auto fill = [&](auto value_of) {
            const i32 where = *special++;
            for (int lane = 0; where != NONE && lane < WARP; lane++) warp.lanes_of<u32>(where)[lane] = value_of(lane);
        };
        const auto fill_all = [&](u32 value) { fill([=](int) { return value; }); };
        fill([&](int lane) { return warp.thread(lane) % width; });
        fill([&](int lane) { return warp.thread(lane) / width % height; });
        fill([&](int lane) { return warp.thread(lane) / width / height; });
        for (const i32 size : launch_.block) fill_all(u32(size));
        for (const u32 number : place) fill_all(number);
        for (const i32 size : launch_.grid) fill_all(u32(size));
        fill([](int lane) { return u32(lane); });
        fill_all(u32(warp.number));
        fill_all(u32(warps_.size()));
        fill_all(0);  // the processor
        fill([](int lane) { return 1u << lane; });
        fill([](int lane) { return (1u << lane) - 1; });
        fill([](int lane) { return (2u << lane) - 1; });
        fill([](int lane) { return ~((2u << lane) - 1); });
        fill([](int lane) { return ~((1u << lane) - 1); });
        fill_all(u32(launch_.shared_bytes - launch_.static_shared_bytes));
    }

    // Lets the warps that wait go on once all have come; false if all are done.
    bool pass_barrier() {
        Warp* waiting = nullptr;
        for (Warp& warp : warps_)
            if (warp.at_barrier) waiting = &warp;
        if (waiting == nullptr) return false;
        now_ = waiting;
        now_->place = now_->groups[0].place;
        for (const Warp& warp : warps_)
            if (warp.alive != warp.all)
                throw Fault(first_of(warp.all & ~warp.alive),
                            format("a barrier that not all threads reach: thread %u has returned",
                                   warp.thread(first_of(warp.all & ~warp.alive))));
        for (Warp& warp : warps_) {
            warp.at_barrier = false;
            warp.groups[0].place++;
            warp.groups[0].waits = false;
        }
        block_.epoch++;
        launch_.counts->barriers++;
        return true;
    }

    // ---- a warp

    void run_warp(Warp& warp, u64 most) {
        for (u64 done = 0; done < most && !warp.groups.empty() && !warp.at_barrier; done++) {
            if (warp.groups.size() > 1) scheduler_.merge(warp);
            Group* const group =
                warp.groups.size() == 1 && !warp.groups[0].waits ? &warp.groups[0] : scheduler_.choose(warp);
            if (group == nullptr) stuck(warp);
            step(warp, *group);
        }
    }

    void step(Warp& warp, Group& group) {
        if (group.place >= launch_.length) throw Fault(first_of(group.lanes), "the end of the kernel, without `ret`");
        const Instruction& instruction = launch_.code[group.place];
        const Entry& entry = entry_of(instruction);
        warp.place = group.place;
        Lanes active = group.lanes;
        if (instruction.guard != NONE) {
            const Lanes guard = *warp.lanes_of<Lanes>(instruction.guard);
            active &= instruction.guard_negated ? ~guard : guard;
        }
        if (entry.kind == Kind::BLOCK_BARRIER && active != warp.alive) {
            wait(group, active);
            return;
        }
        if (entry.kind == Kind::WARP_WIDE && !members_are_here(warp, instruction, entry, active)) {
            wait(group, active);
            return;
        }
        warp.step++;
        launch_.executions[group.place]++;
        launch_.counts->slots++;
        launch_.counts->instructions += count_of(active);
        switch (entry.kind) {
            case Kind::WARP_WIDE:
                launch_.counts->shuffles += entry.name[0] == 's';
                [[fallthrough]];
            case Kind::LANES:
                if (active) entry.run(warp, instruction, active);
                group.place++;
                break;
            case Kind::BLOCK_BARRIER:
                warp.at_barrier = group.waits = true;
                break;
            case Kind::BRANCH:
                part(warp, group, active, instruction.target);
                break;
            case Kind::RETURN:
                warp.alive &= ~active;
                for (Group& other : warp.groups) other.waits = false;
                part(warp, group, active, NONE);
                break;
        }
    }

    // The active lanes go to the target, or nowhere, and the others on.
    void part(Warp& warp, Group& group, Lanes active, i32 target) {
        const Lanes others = group.lanes & ~active;
        if (others == 0 && target == NONE) {
            warp.groups.erase(warp.groups.begin() + (&group - warp.groups.data()));
        } else if (others == 0) {
            group.place = target;
        } else {
            group = {group.place + 1, others, false};
            if (active == 0 || target == NONE) return;
            launch_.counts->divergences++;
            warp.groups.push_back({target, active, false});
        }
    }

    // Do all lanes stand here that the executing ones name?
    bool members_are_here(Warp& warp, const Instruction& instruction, const Entry& entry, Lanes active) const {
        const u32* const members = warp.lanes_of<u32>(instruction.operands[entry.members]);
        Lanes own = 0;
        for (int lane = 0; lane < WARP; lane++) own |= members[lane] & 1u << lane;
        if ((active & own) == ALL_LANES) return true;
        for (int lane = 0; lane < WARP; lane++) {
            if (!has(active, lane)) continue;
            if (!has(members[lane], lane))
                throw Fault(lane, format("the lane is none of its own members, 0x%08x", members[lane]));
            const Lanes gone = members[lane] & ~warp.alive;
            if (gone) throw Fault(lane, format("lane %d, a member, has returned or never was", first_of(gone)));
            if (members[lane] & ~active) return false;
        }
        return true;
    }

    // Lanes that are stopped by their own guard will never come.
    void wait(Group& group, Lanes active) const {
        if (active != group.lanes)
            throw Fault(first_of(group.lanes & ~active), "the lane's guard is false, and others wait for it");
        group.waits = true;
    }

    [[noreturn]] void stuck(Warp& warp) const {
        const Group& first = warp.groups[0];
        warp.place = first.place;
        const bool barrier = entry_of(launch_.code[first.place]).kind == Kind::BLOCK_BARRIER;
        std::string others;
        for (const Group& group : warp.groups)
            if (&group != &first) others += format(", 0x%08x at instruction %d", group.lanes, group.place);
        throw Fault(first_of(warp.alive & ~first.lanes),
                    format(barrier ? "a barrier that not all threads reach: lanes 0x%08x wait here%s"
                                   : "a member is missing: lanes 0x%08x wait here%s",
                           first.lanes, others.c_str()));
    }
};

}  // namespace ptx
