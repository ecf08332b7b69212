// The names of what handles memory: loads, stores, atomics, fences.

#include "access.h"
#include "table.h"

namespace ptx {

namespace {

struct Type {
    const char* name;
    i32 bytes;
    bool is_signed;
};

constexpr Type TYPES[] = {
    {"b8", 1, false},  {"u8", 1, false},  {"s8", 1, true},   {"b16", 2, false}, {"u16", 2, false},
    {"s16", 2, true},  {"b32", 4, false}, {"u32", 4, false}, {"s32", 4, true},  {"f32", 4, false},
    {"b64", 8, false}, {"u64", 8, false}, {"s64", 8, true},  {"f64", 8, false},
};

void add_accesses(Table& t, const std::string& space_name, Space space, i32 most_bytes) {
    for (const Type& type : TYPES) {
        for (const i32 count : {1, 2, 4, 8}) {
            if (count * type.bytes > most_bytes || (count == 8 && type.bytes != 4)) continue;
            const std::string name = (count > 1 ? ".v" + std::to_string(count) : "") + "." + type.name;
            Access access{space, type.bytes, count, type.is_signed, false, false};
            t.handled("ld." + space_name + name, "VA", load, access);
            if (space == Space::PARAMETER) continue;
            if (space == Space::GLOBAL) {
                access.read_only = true;
                t.handled("ld." + space_name + ".nc" + name, "VA", load, access);
                access.read_only = false;
            }
            access.stores = true;
            t.handled("st." + space_name + name, "AV", store, access);
        }
    }
}

class Atomics {
  public:
    Atomics(Table& table, const std::string& space_name, Space space) : t_(table), name_(space_name), space_(space) {}

    template <class T, T (*COMBINE)(T, T)>
    void both(const std::string& operation) {
        t_.handled("atom." + name_ + operation, sign<T>("rAr"), atomic<T, COMBINE>, access<T>());
        t_.handled("red." + name_ + operation, sign<T>("Ar"), reduce<T, COMBINE>, access<T>());
    }
    template <class T>
    void swaps(const std::string& type) {
        t_.handled("atom." + name_ + ".exch" + type, sign<T>("rAr"), atomic<T, exchange<T>>, access<T>());
        t_.handled("atom." + name_ + ".cas" + type, sign<T>("rArr"), compare_and_swap<T>, access<T>());
    }
    template <class T>
    void order(const std::string& type) {
        both<T, smaller<T>>(".min" + type);
        both<T, larger<T>>(".max" + type);
    }

  private:
    Table& t_;
    const std::string name_;
    const Space space_;

    template <class T>
    static std::string sign(std::string signature) {
        for (char& operand : signature)
            if (operand == 'r') operand = sign_of<T>();
        return signature;
    }
    template <class T>
    Access access() const {
        return {space_, i32(sizeof(T)), 1, false, true, false};
    }
};

void add_atomics(Table& t, const std::string& space_name, Space space) {
    Atomics atomics(t, space_name, space);
    atomics.both<u32, add<u32>>(".add.u32");
    atomics.both<i32, add<i32>>(".add.s32");
    atomics.both<u64, add<u64>>(".add.u64");
    if (space == Space::GLOBAL)
        atomics.both<f32, sum_of_normal>(".add.f32");
    else
        atomics.both<f32, sum<f32>>(".add.f32");
    atomics.both<f64, sum<f64>>(".add.f64");
    atomics.order<u32>(".u32");
    atomics.order<i32>(".s32");
    atomics.order<u64>(".u64");
    atomics.order<i64>(".s64");
    atomics.swaps<u32>(".b32");
    atomics.swaps<u64>(".b64");
}

}  // namespace

void add_memory(Table& t) {
    add_accesses(t, "global", Space::GLOBAL, 32);
    add_accesses(t, "shared", Space::SHARED, 16);
    add_accesses(t, "param", Space::PARAMETER, 16);
    add_atomics(t, "global", Space::GLOBAL);
    add_atomics(t, "shared", Space::SHARED);
    for (const char* const name :
         {"membar.gl", "membar.sys", "fence.sc.gpu", "fence.sc.sys", "fence.acq_rel.gpu", "fence.acq_rel.sys"})
        t.handled(name, "", fence);
    for (const char* const name : {"membar.cta", "fence.sc.cta", "fence.acq_rel.cta"})
        t.handled(name, "", fence_of_block);
}

}  // namespace ptx
