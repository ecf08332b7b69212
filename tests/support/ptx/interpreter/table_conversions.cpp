// The names of conversions.

#include "conversions.h"
#include "table.h"

namespace ptx {

namespace {

template <class... T>
struct Types {};

template <class T>
std::string type_name() {
    const char* const letter = std::is_floating_point_v<T> ? "f" : std::is_signed_v<T> ? "s" : "u";
    return letter + std::to_string(8 * sizeof(T));
}

template <class From, class... To>
void add_integers(Table& t, Types<To...>) {
    (t.each_lane<integer_to_integer<To, From>>("cvt." + type_name<To>() + "." + type_name<From>()), ...);
    if constexpr (sizeof(From) < 8)
        (t.each_lane<low_integer_to_integer<To, From>>("cvt." + type_name<To>() + "." + type_name<From>() + " of b64"),
         ...);
    t.each_lane<integer_to_float<f32, From>>("cvt.rn.f32." + type_name<From>());
    t.each_lane<integer_to_float<f64, From>>("cvt.rn.f64." + type_name<From>());
}

template <class... From>
void add_from_integers(Table& t, Types<From...> types) {
    (add_integers<From>(t, types), ...);
}

template <class From, Rounding MODE>
void add_rounded(Table& t, const std::string& mode) {
    const std::string from = "." + type_name<From>();
    t.each_lane<float_to_whole<MODE, From>>("cvt." + mode + from + from);
    t.each_lane<float_to_integer<i32, From, MODE>>("cvt." + mode + ".s32" + from);
    t.each_lane<float_to_integer<u32, From, MODE>>("cvt." + mode + ".u32" + from);
    t.each_lane<float_to_integer<i64, From, MODE>>("cvt." + mode + ".s64" + from);
    t.each_lane<float_to_integer<u64, From, MODE>>("cvt." + mode + ".u64" + from);
}

template <class From>
void add_from_floats(Table& t) {
    add_rounded<From, Rounding::NEAREST>(t, "rni");
    add_rounded<From, Rounding::ZERO>(t, "rzi");
    add_rounded<From, Rounding::DOWN>(t, "rmi");
    add_rounded<From, Rounding::UP>(t, "rpi");
}

}  // namespace

void add_conversions(Table& t) {
    add_from_integers(t, Types<i8, u8, i16, u16, i32, u32, i64, u64>());
    add_from_floats<f32>(t);
    add_from_floats<f64>(t);
    t.each_lane<widened>("cvt.f64.f32");
    t.each_lane<narrowed>("cvt.rn.f32.f64");
    t.each_lane<to_half>("cvt.rn.f16.f32");
    t.each_lane<from_half>("cvt.f32.f16");
    t.each_lane<wide_from_half>("cvt.f64.f16");
    t.each_lane<to_brain>("cvt.rn.bf16.f32");
    t.each_lane<from_brain>("cvt.f32.bf16");
    t.each_lane<to_halves>("cvt.rn.f16x2.f32");
    t.each_lane<to_brains>("cvt.rn.bf16x2.f32");
}

}  // namespace ptx
