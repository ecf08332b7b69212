// `cvt`: between integers of all widths, floating point and integers, and the formats of floating point.
#pragma once

#include "numbers.h"

namespace ptx {

// Eight bits live in a register of sixteen.
template <class T>
using RegisterOf = std::conditional_t<sizeof(T) == 1, std::conditional_t<std::is_signed_v<T>, i16, u16>, T>;

template <class To, class From>
RegisterOf<To> integer_to_integer(RegisterOf<From> a) {
    return RegisterOf<To>(To(From(a)));
}
// Of a register that is wider than the type: of its lowest bits.
template <class To, class From>
RegisterOf<To> low_integer_to_integer(u64 a) {
    return RegisterOf<To>(To(From(a)));
}
template <class To, class From>
To integer_to_float(RegisterOf<From> a) {
    return To(From(a));
}

enum class Rounding { NEAREST, ZERO, DOWN, UP };

// The host rounds to nearest.
template <Rounding MODE, class T>
T to_whole(T a) {
    if (MODE == Rounding::NEAREST) return std::nearbyint(a);
    if (MODE == Rounding::ZERO) return std::trunc(a);
    return MODE == Rounding::DOWN ? std::floor(a) : std::ceil(a);
}
template <Rounding MODE, class T>
T float_to_whole(T a) {
    return canonical(to_whole<MODE>(a));
}

// Numbers beyond the range give its end. Of a NaN comes 0, but the highest bit alone where 64 bits are involved.
template <class To, class From, Rounding MODE>
To float_to_integer(From a) {
    if (a != a) {
        const bool long_ones = sizeof(From) == 8 || sizeof(To) == 8;
        return long_ones ? To(u64(1) << (8 * sizeof(To) - 1)) : To(0);
    }
    const From whole = to_whole<MODE>(a);
    const From beyond = std::ldexp(From(1), 8 * int(sizeof(To)) - std::is_signed_v<To>);
    if (whole >= beyond) return std::numeric_limits<To>::max();
    if (whole < (std::is_signed_v<To> ? -beyond : From(0))) return std::numeric_limits<To>::min();
    return To(whole);
}

inline f64 widened(f32 a) {
    return f64(a);
}
inline f64 wide_from_half(Half half) {
    return f64(from_half(half));
}
inline f32 narrowed(f64 a) {
    return canonical(f32(a));
}

// The first operand becomes the upper half.
inline Pair<Half> to_halves(f32 upper, f32 lower) {
    return {u32(to_half(upper).bits) << 16 | to_half(lower).bits};
}
inline Pair<Brain> to_brains(f32 upper, f32 lower) {
    return {u32(to_brain(upper).bits) << 16 | to_brain(lower).bits};
}

}  // namespace ptx
