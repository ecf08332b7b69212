// What a lane computes of integers and bits: plain functions, each an instruction of PTX.
#pragma once

#include "numbers.h"

namespace ptx {

// ---- integers, which wrap around

// Through 64 bits without a sign, since signed overflow is undefined in C++.
template <class T>
T add(T a, T b) {
    return T(u64(a) + u64(b));
}
template <class T>
T subtract(T a, T b) {
    return T(u64(a) - u64(b));
}
template <class T>
T multiply_low(T a, T b) {
    return T(u64(a) * u64(b));
}
template <class T>
T multiply_add_low(T a, T b, T c) {
    return T(u64(a) * u64(b) + u64(c));
}
template <class T>
T negate(T a) {
    return T(0 - u64(a));
}
template <class T>
T absolute(T a) {
    return a < 0 ? negate(a) : a;
}

// An integer of twice the width.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
                                std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, i64, u64>,
                                                   std::conditional_t<std::is_signed_v<T>, i32, u32>>>;

template <class T>
T multiply_high(T a, T b) {
    return T(Wide<T>(a) * Wide<T>(b) >> 8 * sizeof(T));
}
template <class T>
Wide<T> multiply_wide(T a, T b) {
    return Wide<T>(a) * Wide<T>(b);
}
template <class T>
Wide<T> multiply_add_wide(T a, T b, Wide<T> c) {
    return add<Wide<T>>(multiply_wide(a, b), c);
}

// By zero the result is not specified; these are what GPUs give.
template <class T>
T divide(T a, T b) {
    if (b == 0) return T(-1);
    return std::is_signed_v<T> && b == T(-1) ? negate(a) : T(a / b);
}
template <class T>
T remainder(T a, T b) {
    if (b == 0) return a;
    return std::is_signed_v<T> && b == T(-1) ? T(0) : T(a % b);
}

template <class T>
T smaller(T a, T b) {
    return a < b ? a : b;
}
template <class T>
T larger(T a, T b) {
    return a > b ? a : b;
}

// ---- bits

template <class T>
T bit_and(T a, T b) {
    return a & b;
}
template <class T>
T bit_or(T a, T b) {
    return a | b;
}
template <class T>
T bit_xor(T a, T b) {
    return a ^ b;
}
template <class T>
T bit_not(T a) {
    return T(~a);
}
template <>
inline bool bit_not<bool>(bool a) {
    return !a;
}
template <class T>
T same(T a) {
    return a;
}
template <class T>
T select(T a, T b, bool p) {
    return p ? a : b;
}

// Counts beyond the width are clamped to it.
template <class T>
T shift_left(T a, u32 count) {
    return count >= 8 * sizeof(T) ? T(0) : T(a << count);
}
template <class T>
T shift_right(T a, u32 count) {
    const u32 most = 8 * sizeof(T) - 1;
    if (std::is_signed_v<T>) return T(a >> (count > most ? most : count));
    return count > most ? T(0) : T(a >> count);
}

// The two registers side by side, b above a, shifted.
template <bool WRAP>
u32 funnel_left(u32 a, u32 b, u32 count) {
    const u32 by = WRAP ? count & 31 : count > 32 ? 32 : count;
    return u32(((u64(b) << 32 | a) << by) >> 32);
}
template <bool WRAP>
u32 funnel_right(u32 a, u32 b, u32 count) {
    const u32 by = WRAP ? count & 31 : count > 32 ? 32 : count;
    return u32((u64(b) << 32 | a) >> by);
}

template <class T>
u32 population(T a) {
    return u32(__builtin_popcountll(a));
}
template <class T>
u32 leading_zeros(T a) {
    return a ? u32(__builtin_clzll(a)) - (64 - 8 * sizeof(T)) : 8 * sizeof(T);
}
template <class T>
T reverse_bits(T a) {
    T reversed = 0;
    for (u32 bit = 0; bit < 8 * sizeof(T); bit++) reversed = T(reversed << 1 | (a >> bit & 1));
    return reversed;
}

template <class T>
T low_bits(u32 length) {
    return length >= 8 * sizeof(T) ? T(~T(0)) : T((T(1) << length) - 1);
}
// Bits `begin` on, `length` of them; a signed field is filled up with its highest bit.
template <class T>
T extract_field(T a, u32 begin, u32 length) {
    using Bits = std::make_unsigned_t<T>;
    const u32 most = 8 * sizeof(T) - 1;
    begin &= 0xff, length &= 0xff;
    const Bits field = shift_right<Bits>(Bits(a), begin) & low_bits<Bits>(length);
    const u32 top = begin + length - 1 < most ? begin + length - 1 : most;
    const bool negative = std::is_signed_v<T> && length != 0 && (Bits(a) >> top & 1);
    const u32 taken = begin > most ? 0 : length < most + 1 - begin ? length : most + 1 - begin;
    return T(negative ? field | Bits(~low_bits<Bits>(taken)) : field);
}
template <class T>
T insert_field(T a, T b, u32 begin, u32 length) {
    begin &= 0xff, length &= 0xff;
    const T field = shift_left<T>(low_bits<T>(length), begin);
    return T((b & ~field) | (shift_left<T>(a, begin) & field));
}

// Four of the eight bytes of a and b, chosen by the low nibbles of `selector`; the nibble's top bit spreads the sign.
inline u32 permute_bytes(u32 a, u32 b, u32 selector) {
    const u64 bytes = u64(b) << 32 | a;
    u32 result = 0;
    for (int place = 0; place < 4; place++) {
        const u32 nibble = selector >> 4 * place & 15;
        u32 byte = u32(bytes >> 8 * (nibble & 7)) & 0xff;
        if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
        result |= byte << 8 * place;
    }
    return result;
}
// Any function of three bits, by its table of eight.
inline u32 lookup_logic(u32 a, u32 b, u32 c, u32 table) {
    u32 result = 0;
    for (int row = 0; row < 8; row++)
        if (table >> row & 1) result |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
    return result;
}

}  // namespace ptx
