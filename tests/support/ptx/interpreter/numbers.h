// The numbers of PTX: fixed widths, the one NaN that single precision gives, and the two formats of 16 bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using f32 = float;
using f64 = double;

// A number of 16 bits lives in a register of its own bits.
struct Half {
    u16 bits;
    operator f32() const;
};
struct Brain {
    u16 bits;
};
// Two of them, the first in the lower half.
template <class Format>
struct Pair {
    u32 bits;
};

constexpr u16 CANONICAL_NAN_16 = 0x7fff;
constexpr u32 CANONICAL_NAN_32 = 0x7fffffff;

template <class To, class From>
inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// Single precision has one NaN for a result; double precision keeps the payload, as the host does.
inline f32 canonical(f32 x) {
    return x == x ? x : bits_as<f32>(CANONICAL_NAN_32);
}
inline f64 canonical(f64 x) {
    return x;
}

// Rounds the bits below `dropped` to the nearest, ties to even.
inline u32 round_off(u32 value, int dropped) {
    const u32 half = 1u << (dropped - 1), rest = value & ((1u << dropped) - 1), kept = value >> dropped;
    return kept + (rest > half || (rest == half && (kept & 1)));
}

inline Half to_half(f32 x) {
    const u32 bits = bits_as<u32>(x), magnitude = bits & 0x7fffffff;
    const u16 sign = u16(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000) return {CANONICAL_NAN_16};
    if (magnitude >= 0x477ff000) return {u16(sign | 0x7c00)};  // rounds beyond 65504
    if (magnitude >= 0x38800000) return {u16(sign | round_off(magnitude - 0x38000000, 13))};
    if (magnitude < 0x33000000) return {sign};  // less than half of the smallest subnormal
    const int shift = 126 - int(magnitude >> 23);
    return {u16(sign | round_off((magnitude & 0x7fffff) | 0x800000, shift))};
}

inline f32 from_half(Half half) {
    const u32 sign = u32(half.bits & 0x8000) << 16, exponent = half.bits >> 10 & 31, fraction = half.bits & 0x3ff;
    if (exponent == 31) return fraction ? bits_as<f32>(CANONICAL_NAN_32) : bits_as<f32>(sign | 0x7f800000);
    if (exponent == 0) return std::copysign(std::ldexp(f32(fraction), -24), sign ? -1.0f : 1.0f);
    return bits_as<f32>(sign | (exponent + 112) << 23 | fraction << 13);
}

inline Half::operator f32() const {
    return from_half(*this);
}

inline Brain to_brain(f32 x) {
    const u32 bits = bits_as<u32>(x);
    return {x == x ? u16(round_off(bits, 16)) : CANONICAL_NAN_16};
}

inline f32 from_brain(Brain brain) {
    return canonical(bits_as<f32>(u32(brain.bits) << 16));
}

}  // namespace ptx
