// The names of arithmetic, comparisons, bits and moves.
//
// Sums and products of floating point without `.rn` are missing on purpose, since they may be contracted, and so are
// approximations (`.approx`) and what takes subnormal numbers for zeros (`.ftz`).

#include "floats.h"
#include "integers.h"
#include "table.h"

namespace ptx {

namespace {

template <class T>
void add_comparisons(Table& t, const std::string& type) {
    t.each_lane<equal<T>>("setp.eq." + type);
    t.each_lane<ordered_differ<T>>("setp.ne." + type);
    t.each_lane<less<T>>("setp.lt." + type);
    t.each_lane<less_or_equal<T>>("setp.le." + type);
    t.each_lane<greater<T>>("setp.gt." + type);
    t.each_lane<greater_or_equal<T>>("setp.ge." + type);
}

template <class T>
void add_integers(Table& t, const std::string& type) {
    t.each_lane<add<T>>("add." + type);
    t.each_lane<subtract<T>>("sub." + type);
    t.each_lane<multiply_low<T>>("mul.lo." + type);
    t.each_lane<multiply_high<T>>("mul.hi." + type);
    t.each_lane<multiply_add_low<T>>("mad.lo." + type);
    t.each_lane<divide<T>>("div." + type);
    t.each_lane<remainder<T>>("rem." + type);
    t.each_lane<smaller<T>>("min." + type);
    t.each_lane<larger<T>>("max." + type);
    t.each_lane<shift_right<T>>("shr." + type);
    add_comparisons<T>(t, type);
    if constexpr (sizeof(T) < 8) {
        t.each_lane<multiply_wide<T>>("mul.wide." + type);
        t.each_lane<multiply_add_wide<T>>("mad.wide." + type);
    }
    if constexpr (sizeof(T) > 2) t.each_lane<extract_field<T>>("bfe." + type);
    if constexpr (std::is_signed_v<T>) {
        t.each_lane<negate<T>>("neg." + type);
        t.each_lane<absolute<T>>("abs." + type);
    }
}

template <class T>
void add_logic(Table& t, const std::string& type) {
    t.each_lane<bit_and<T>>("and." + type);
    t.each_lane<bit_or<T>>("or." + type);
    t.each_lane<bit_xor<T>>("xor." + type);
    t.each_lane<bit_not<T>>("not." + type);
}

template <class T>
void add_bits(Table& t, const std::string& type) {
    add_logic<T>(t, type);
    t.each_lane<shift_left<T>>("shl." + type);
    t.each_lane<shift_right<T>>("shr." + type);
    t.each_lane<equal<T>>("setp.eq." + type);
    t.each_lane<differ<T>>("setp.ne." + type);
    if constexpr (sizeof(T) > 2) {
        t.each_lane<population<T>>("popc." + type);
        t.each_lane<leading_zeros<T>>("clz." + type);
        t.each_lane<reverse_bits<T>>("brev." + type);
        t.each_lane<insert_field<T>>("bfi." + type);
    }
}

// A register is moved and selected as bits, whatever it holds.
template <class T>
void add_moves(Table& t, std::initializer_list<const char*> types) {
    for (const std::string type : types) {
        t.each_lane<same<T>>("mov." + type);
        t.each_lane<select<T>>("selp." + type);
    }
}

template <class T>
void add_float_comparisons(Table& t, const std::string& type) {
    add_comparisons<T>(t, type);
    t.each_lane<or_unordered<T, equal<T>>>("setp.equ." + type);
    t.each_lane<or_unordered<T, ordered_differ<T>>>("setp.neu." + type);
    t.each_lane<or_unordered<T, less<T>>>("setp.ltu." + type);
    t.each_lane<or_unordered<T, less_or_equal<T>>>("setp.leu." + type);
    t.each_lane<or_unordered<T, greater<T>>>("setp.gtu." + type);
    t.each_lane<or_unordered<T, greater_or_equal<T>>>("setp.geu." + type);
    t.each_lane<both_numbers<T>>("setp.num." + type);
    t.each_lane<any_nan<T>>("setp.nan." + type);
}

template <class T>
void add_floats(Table& t, const std::string& type) {
    t.each_lane<sum<T>>("add.rn." + type);
    t.each_lane<difference<T>>("sub.rn." + type);
    t.each_lane<product<T>>("mul.rn." + type);
    t.each_lane<quotient<T>>("div.rn." + type);
    t.each_lane<fused<T>>("fma.rn." + type);
    t.each_lane<reciprocal<T>>("rcp.rn." + type);
    t.each_lane<root<T>>("sqrt.rn." + type);
    t.each_lane<minimum<T>>("min." + type);
    t.each_lane<maximum<T>>("max." + type);
    t.each_lane<opposite<T>>("neg." + type);
    t.each_lane<magnitude<T>>("abs." + type);
    t.each_lane<with_sign_of<T>>("copysign." + type);
    add_float_comparisons<T>(t, type);
}

}  // namespace

void add_arithmetic(Table& t) {
    add_integers<i16>(t, "s16");
    add_integers<u16>(t, "u16");
    add_integers<i32>(t, "s32");
    add_integers<u32>(t, "u32");
    add_integers<i64>(t, "s64");
    add_integers<u64>(t, "u64");
    add_bits<u16>(t, "b16");
    add_bits<u32>(t, "b32");
    add_bits<u64>(t, "b64");
    add_logic<bool>(t, "pred");
    add_floats<f32>(t, "f32");
    add_floats<f64>(t, "f64");
    add_float_comparisons<Half>(t, "f16");
    add_moves<u16>(t, {"b16", "u16", "s16"});
    add_moves<u32>(t, {"b32", "u32", "s32", "f32"});
    add_moves<u64>(t, {"b64", "u64", "s64", "f64"});
    t.each_lane<same<bool>>("mov.pred");
    // Addresses of global memory are the same in the generic space.
    t.each_lane<same<u64>>("cvta.to.global.u64");
    t.each_lane<same<u64>>("cvta.global.u64");
    t.each_lane<funnel_left<false>>("shf.l.clamp.b32");
    t.each_lane<funnel_left<true>>("shf.l.wrap.b32");
    t.each_lane<funnel_right<false>>("shf.r.clamp.b32");
    t.each_lane<funnel_right<true>>("shf.r.wrap.b32");
    t.each_lane<permute_bytes>("prmt.b32");
    t.each_lane<lookup_logic>("lop3.b32");
    // `mov` between a register and its parts in braces, under names that say which side they are on.
    t.handled("mov.b32 {}", "422", pack<u32, u16>);
    t.handled("mov.b64 {}", "844", pack<u64, u32>);
    t.handled("mov.b64 {,}", "82222", pack<u64, u16>);
    t.handled("{} mov.b32", "224", unpack<u32, u16>);
    t.handled("{} mov.b64", "448", unpack<u64, u32>);
    t.handled("{,} mov.b64", "22228", unpack<u64, u16>);
}

}  // namespace ptx
