// What a lane computes of floating point, and comparisons: plain functions, each an instruction of PTX.
#pragma once

#include "numbers.h"

namespace ptx {

// ---- floating point, to the nearest, with subnormal numbers

template <class T>
T sum(T a, T b) {
    return canonical(a + b);
}
template <class T>
T difference(T a, T b) {
    return canonical(a - b);
}
template <class T>
T product(T a, T b) {
    return canonical(a * b);
}
template <class T>
T quotient(T a, T b) {
    return canonical(a / b);
}
template <class T>
T fused(T a, T b, T c) {
    return canonical(std::fma(a, b, c));
}
template <class T>
T reciprocal(T a) {
    return canonical(T(1) / a);
}
template <class T>
T root(T a) {
    return canonical(std::sqrt(a));
}
// The number beside a NaN; -0.0 is below +0.0.
template <class T>
T minimum(T a, T b) {
    const T least = a == b ? (std::signbit(a) ? a : b) : a < b ? a : b;
    return a != a ? canonical(b) : b != b ? a : least;
}
template <class T>
T maximum(T a, T b) {
    const T most = a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
    return a != a ? canonical(b) : b != b ? a : most;
}
template <class T>
T opposite(T a) {
    return -a;
}
template <class T>
T magnitude(T a) {
    return std::fabs(a);
}
// The first operand's sign on the second.
template <class T>
T with_sign_of(T a, T b) {
    return std::copysign(b, a);
}

// ---- comparisons: ordered ones are false beside a NaN, unordered ones true

template <class T>
bool equal(T a, T b) {
    return a == b;
}
template <class T>
bool differ(T a, T b) {
    return a != b;
}
template <class T>
bool less(T a, T b) {
    return a < b;
}
template <class T>
bool less_or_equal(T a, T b) {
    return a <= b;
}
template <class T>
bool greater(T a, T b) {
    return a > b;
}
template <class T>
bool greater_or_equal(T a, T b) {
    return a >= b;
}
template <class T>
bool both_numbers(T a, T b) {
    return a == a && b == b;
}
template <class T>
bool any_nan(T a, T b) {
    return !both_numbers(a, b);
}
template <class T>
bool ordered_differ(T a, T b) {
    return a < b || a > b;
}
template <class T, bool (*COMPARE)(T, T)>
bool or_unordered(T a, T b) {
    return any_nan(a, b) || COMPARE(a, b);
}

}  // namespace ptx
