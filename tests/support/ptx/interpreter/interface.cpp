// What Python calls.

#include <cstdarg>
#include <cstdio>

#include "launch.h"

namespace ptx {

std::string format(const char* pattern, ...) {
    char text[400];
    va_list values;
    va_start(values, pattern);
    std::vsnprintf(text, sizeof text, pattern, values);
    va_end(values);
    return text;
}

}  // namespace ptx

extern "C" {

struct Described {
    const char *name, *signature;
    ptx::i32 bytes, count;
};

int ptx_known(void) {
    return int(ptx::table().size());
}

Described ptx_describe(int index) {
    const ptx::Entry& entry = ptx::table()[std::size_t(index)];
    return {entry.name.c_str(), entry.signature.c_str(), entry.access.bytes, entry.access.count};
}

void ptx_launch(ptx::Launch* launch) {
    ptx::Run(*launch).run();
}
}
