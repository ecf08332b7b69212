// How the table of instructions is filled.
#pragma once

#include "lanewise.h"

namespace ptx {

class Table {
  public:
    std::vector<Entry> entries;

    template <auto FUNCTION>
    void each_lane(const std::string& name) {
        entries.push_back(ptx::each_lane<FUNCTION>(name));
    }
    void handled(const std::string& name, const std::string& signature, Handler run, Access access = {}) {
        entries.push_back({name, signature, Kind::LANES, run, access, NONE});
    }
    void warp_wide(const std::string& name, const std::string& signature, Handler run, int members) {
        entries.push_back({name, signature, Kind::WARP_WIDE, run, {}, members});
    }
    void flow(const std::string& name, const std::string& signature, Kind kind) {
        entries.push_back({name, signature, kind, nullptr, {}, NONE});
    }
};

void add_arithmetic(Table& table);
void add_conversions(Table& table);
void add_memory(Table& table);
void add_control(Table& table);

}  // namespace ptx
